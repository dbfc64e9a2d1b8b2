//! The demonstration: the stand-in provider, the real daemon, two users and a payment agent.
