// An agent: greets, asks once.
//
//     node agent.js SOCKET SCOPE
const http = require("node:http");

const [socketPath, scope] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function request(method, path, nonce, body) {
  const text = body === undefined ? "" : JSON.stringify(body);
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  if (nonce) headers["agentauthd-nonce"] = nonce;
  return new Promise((resolve) => {
    const sent = http.request({ socketPath, agent, method, path, headers }, (answer) => {
      let read = "";
      answer.setEncoding("utf8").on("data", (piece) => (read += piece));
      answer.on("end", () => resolve({ ...JSON.parse(read), http_status: answer.statusCode }));
    });
    sent.on("error", (error) => resolve({ io_error: error.message })).end(text);
  });
}

(async () => {
  const { nonce } = await request("GET", "/v1/hello");
  console.log(JSON.stringify(await request("POST", "/v1/check", nonce, { scope })));
  agent.destroy();
})();
