// What a run gets: the keys of this text over those of all endpoints, with the source of each.
import { make } from "./configuration_form.js";
import { entry, format, parse } from "./json_text.js";

/** Key -> {raw, label, address} of what counts below this configuration. */
export function belowOf(state) {
  const root = parse(state.below);
  if (root.kind !== "object") return new Map([["", { ...state.below_keys[""], raw: state.below }]]);
  return new Map(root.entries.map(({ key, value }) => [key, { ...state.below_keys[key], raw: state.below.slice(value.start, value.end) }]));
}

/**
 * Show the table.
 *
 * `text`: of this configuration, null if there is none; `plain`: not JSON; `isNew`: it is not as it is stored.
 * Returns whether it could be shown: whether the text is valid.
 */
export function showEffective(element, { text, plain, isNew, state, said }) {
  const unsaved = `${state.own}, ${said("not-saved")}`;
  const own = isNew ? unsaved : state.own;
  const before = new Map(belongs(state.text));
  let root = null;
  if (text !== null && text.trim()) {
    if (plain) return table(element, [[said("whole"), text, own]], said);
    try {
      root = parse(text);
    } catch {
      return false;
    }
    if (root.kind !== "object") return table(element, [[said("whole"), text, own]], said);
  }
  const rows = [];
  const isMerged = root === null || state.meant.endpoint; // the text of a version replaces that of a lower one
  const below = isMerged ? belowOf(state) : new Map();
  if (root === null && below.has("")) return table(element, [[said("whole"), below.get("").raw, below.get("").label, below.get("").address]], said);
  const keys = new Set([...below.keys(), ...(root?.entries.map((one) => one.key) ?? [])]);
  for (const key of keys) {
    const found = root && entry(root, key);
    const raw = found && text.slice(found.value.start, found.value.end);
    if (found) rows.push([key, raw, before.get(key) === raw ? state.own : unsaved, "", true]);
    else rows.push([key, below.get(key).raw, below.get(key).label ?? "", below.get(key).address]);
  }
  for (const field of state.fields) {
    if (!keys.has(field.key) && field.default !== null) rows.push([field.key, field.default, said("of-pack")]);
  }
  return table(element, rows, said);
}

/** Keys and values of a stored text, as they are written. */
function belongs(text) {
  try {
    const root = parse(text ?? "{}");
    return root.kind === "object" ? root.entries.map(({ key, value }) => [key, text.slice(value.start, value.end)]) : [];
  } catch {
    return [];
  }
}

function table(element, rows, said) {
  if (!rows.length) {
    element.replaceChildren(make("p", { className: "label", textContent: said("no-keys") }));
    return true;
  }
  const heads = ["key", "value", "source"].map((name) => element.closest("[data-effective]").dataset[name]);
  const head = make("tr", {}, ...heads.map((textContent) => make("th", { scope: "col", textContent })));
  const body = rows.map(([key, raw, label, address, isOwn]) => {
    const from = address ? make("a", { href: address, textContent: label }) : label;
    const value = make("code", { textContent: shown(raw) });
    const name = make("th", { scope: "row" }, make("code", { textContent: key }));
    return make("tr", { className: isOwn ? "own" : "" }, name, make("td", {}, value), make("td", {}, from));
  });
  element.replaceChildren(make("table", { className: "plain effective" }, make("thead", {}, head), make("tbody", {}, ...body)));
  return true;
}

function shown(raw) {
  try {
    return raw.length > 60 ? format(raw) : raw;
  } catch {
    return raw;
  }
}
