"use strict";
// Asks the browser for what the form says, fills it in and sends it. Nothing here decides anything: the daemon holds what
// comes against what it asked.
(() => {
  const form = document.getElementById("passkey");
  const button = document.getElementById("ask");
  const trouble = document.getElementById("trouble");
  const asked = form.dataset;

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) =>
    btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
      .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const words = (list) => list.split(" ").filter((word) => word !== "");

  const known = () => words(asked.credentials).map((id) => ({ type: "public-key", id: bytes(id) }));
  const common = () => ({ challenge: bytes(asked.challenge), timeout: Number(asked.time) });

  const get = () => navigator.credentials.get({
    publicKey: { ...common(), rpId: asked.site, allowCredentials: known(), userVerification: "required" },
  });
  const create = () => navigator.credentials.create({
    publicKey: {
      ...common(),
      rp: { id: asked.site, name: "agentauthd on this computer" },
      user: { id: bytes(asked.challenge), name: asked.account, displayName: `${asked.name} (${asked.account})` },
      pubKeyCredParams: words(asked.algorithms).map((alg) => ({ type: "public-key", alg: Number(alg) })),
      excludeCredentials: known(),
      authenticatorSelection: { userVerification: "required" },
      attestation: asked.attestation,
    },
  });

  const send = (credential) => {
    const answer = credential.response;
    const parts = asked.kind === "create"
      ? { client_data: answer.clientDataJSON, attestation_object: answer.attestationObject }
      : {
          credential: credential.rawId, authenticator_data: answer.authenticatorData,
          client_data: answer.clientDataJSON, signature: answer.signature,
        };
    for (const [name, buffer] of Object.entries(parts)) form.elements[name].value = text(buffer);
    form.submit();
  };

  button.addEventListener("click", async () => {
    button.disabled = true;
    trouble.textContent = "";
    try {
      send(await (asked.kind === "create" ? create() : get()));
    } catch (error) {
      trouble.textContent = `The browser brought no passkey (${error.name}). You can try again.`;
      button.disabled = false;
    }
  });
  if (window.PublicKeyCredential) {
    button.disabled = false;
    button.focus();
  } else {
    trouble.textContent = "This browser has no passkeys.";
  }
})();
