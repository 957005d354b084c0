// Adds a bearer token to every request that goes to one server. The conformance suite has no option for it
// and sends by three roads: fetch, undici, and node:http.
//
//   CONFORMANCE_URL    the server
//   CONFORMANCE_TOKEN  the token
//
// Node loads this before the suite (--import), which gets the changed functions then.

import diagnosticsChannel from "node:diagnostics_channel";
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";

const origin = new URL(process.env.CONFORMANCE_URL).origin;
const value = `Bearer ${process.env.CONFORMANCE_TOKEN}`;
delete process.env.CONFORMANCE_TOKEN;

const isOurs = (url) => URL.canParse(url) && new URL(url).origin === origin;

// The suite's own undici, whichever copy it is, says on this channel when it makes a request; so does the one
// inside Node, on which fetch stands.
diagnosticsChannel.subscribe("undici:request:create", ({ request }) => {
  const names = request.headers.map((header) => String(header).toLowerCase());
  if (isOurs(`${request.origin}`) && !names.includes("authorization")) {
    request.addHeader("authorization", value);
  }
});

const request = http.request;
http.request = (...parameters) => {
  const sent = request(...parameters);
  if (isOurs(`${sent.protocol}//${sent.getHeader("host")}`) && !sent.hasHeader("authorization")) {
    sent.setHeader("authorization", value);
  }
  return sent;
};
syncBuiltinESMExports();
