"""The official Python SDK against the emulator: what it accepts, what it refuses, and how it says so.

    sdk_python.py BASE_URL PROJECT_ID

One JSON line a case on standard output: {"case": name, "ok": bool, "error": text}. Where the SDK is laxer than this
project, the case pins that, so that nobody takes the SDK's acceptance for a proof.
"""

import sdk_harness
import sdk_python_accounts  # noqa: F401 - it registers its cases
import sdk_python_sessions  # noqa: F401

sdk_harness.run()
