// Sends events with the npm package cloudevents: node cloudevents.mjs PACKAGES URL TOKEN
// Prints what was sent and answered, as JSON: [{mode, events: [...], status, body}].
import { createRequire } from "node:module";

const [packages, url, token] = process.argv.slice(2);
const { CloudEvent, HTTP } = createRequire(`${packages}/`)("cloudevents");

const events = [
  { id: "plain", data: { order: 42, items: ["a", "b"], text: "Euro \u20ac \u{1F600}" } },
  { id: "text", datacontenttype: "text/plain", data: "hello" },
  { id: "none", subject: "orders/42" },
  { id: "extended", subject: "7", dataschema: "https://acme.example/schema", traceparent: "00-ab", priority: 3, data: { a: null } },
  { id: "bytes", datacontenttype: "application/octet-stream", data: new Uint8Array([0, 1, 2, 255]) },
].map((attributes) => new CloudEvent({ type: "com.acme.order", source: "/orders", time: "2026-03-02T09:14:07.000Z", ...attributes }));

async function send(mode, sent, headers, body) {
  const answer = await fetch(url, { method: "POST", headers: { ...headers, authorization: `Bearer ${token}` }, body });
  return { mode, events: sent.map((event) => event.id), status: answer.status, body: await answer.json() };
}

const answers = [];
for (const event of events) {
  for (const mode of ["binary", "structured"]) {
    const { headers, body } = HTTP[mode](event);
    answers.push(await send(mode, [event], headers, body));
  }
}
const batch = events.map((event) => JSON.parse(HTTP.structured(event).body));
answers.push(await send("batch", events, { "content-type": "application/cloudevents-batch+json" }, JSON.stringify(batch)));
const fresh = events.map((event) => event.cloneWith({ id: `${event.id}-in-batch` }));
const others = fresh.map((event) => JSON.parse(HTTP.structured(event).body));
answers.push(await send("batch", fresh, { "content-type": "application/cloudevents-batch+json; charset=utf-8" }, JSON.stringify(others)));
console.log(JSON.stringify(answers));
