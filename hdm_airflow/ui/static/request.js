// Requests that change something, or fetch data: always with the header that no other page can send.

/** What is wrong, as the server says it: `what`, `where`, `hint`; `status` 0 if there was no answer. */
export class RequestError extends Error {
  constructor(status, { what, where = "", hint = "", ...more }) {
    super(what);
    Object.assign(this, { status, what, where, hint, more });
  }
}

/** Send a request and return the JSON of the answer, or throw a RequestError. */
export async function send(method, address, body, signal) {
  const headers = { "X-HDM": "1", Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestError(0, { what: document.getElementById("messages").dataset.offline });
  }
  let value = {};
  try {
    value = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    value = { what: `HTTP ${answer.status}` };
  }
  if (!answer.ok) throw new RequestError(answer.status, { what: `HTTP ${answer.status}`, ...value });
  return value;
}

export const get = (address, signal) => send("GET", address, undefined, signal);
export const post = (address, body) => send("POST", address, body);
