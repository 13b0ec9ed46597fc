// Elements: made with text and attributes, never from HTML.

/** Make an element. Attributes: null and false are left out; `on...` are listeners. */
export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((one) => one !== null && one !== undefined));
  return made;
}

/** Disable a control, but let it be reached, so that everybody learns why; '' enables it. */
export function refuse(control, why) {
  if (why) control.setAttribute("aria-disabled", "true");
  else control.removeAttribute("aria-disabled");
  control.title = why;
  control.setAttribute("aria-description", why);
  return control;
}

/** Why a control is disabled; '' if it is not. */
export const refusal = (control) => (control.getAttribute("aria-disabled") === "true" ? control.title : "");

/** Put values into the braces of a text. */
export function fill(text, values) {
  const { lang } = document.documentElement;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? value.toLocaleString(lang) : value;
  });
}

/** An address of ours in the environment of this page; `query` may have lists. */
export function address(path, query = {}) {
  const parameters = new URLSearchParams();
  const { env } = document.documentElement.dataset;
  if (env) parameters.set("env", env);
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== "") parameters.append(name, one);
  }
  const text = parameters.toString();
  return `${document.documentElement.dataset.root}${path}${text ? `?${text}` : ""}`;
}

/** The parameters of this page's address, with its environment even where the address leaves it out. */
export function parameters() {
  const found = new URLSearchParams(location.search);
  const { env } = document.documentElement.dataset;
  if (env) found.set("env", env);
  return found;
}

/** Show a modal dialog that removes itself, and gives the focus back. */
export function showDialog(dialog) {
  const before = document.activeElement;
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus?.({ preventScroll: true });
  });
  dialog.showModal();
  return dialog;
}
