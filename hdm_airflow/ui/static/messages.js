// Messages at the lower edge of the page: one at a time, read out by screen readers, with at most one thing to do.
const place = document.getElementById("messages");
const SECONDS = 12;
let timer;

/** Show a message. `action`: {text, run}. Errors stay until the next message. */
export function say(text, { kind = "info", action, more = "" } = {}) {
  clearTimeout(timer);
  const box = document.createElement("div");
  box.className = `message ${kind}`;
  const words = document.createElement("span");
  words.textContent = more ? `${text} ${more}` : text;
  box.append(words);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.text;
    button.addEventListener("click", () => {
      clear();
      action.run();
    });
    box.append(button);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "close";
  close.setAttribute("aria-label", place.dataset.close);
  close.textContent = "×";
  close.addEventListener("click", clear);
  box.append(close);
  place.replaceChildren(box);
  if (kind !== "error") timer = setTimeout(clear, SECONDS * 1000);
}

/** Show what went wrong with a request. */
export function sayError(error) {
  say(error.what ?? String(error), { kind: "error", more: error.hint ? `(${error.hint})` : "" });
}

export function clear() {
  clearTimeout(timer);
  place.replaceChildren();
}
