// The form of a configuration. The text is the truth: the form shows what is in it, and changes only what somebody changes.
import { entry, isNumber, parse, set, unset } from "./json_text.js";

const MOST_LINES = 8; // of a list

/** Texts of the page, with values in their braces. */
export function texts() {
  const all = JSON.parse(document.getElementById("texts").textContent);
  return (key, values = {}) => all[key].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** What a field's value may be, in words. */
export function range(text, { kind, bounds }) {
  const number = (value) => new Intl.NumberFormat(document.documentElement.lang, { maximumFractionDigits: 20 }).format(value);
  const words = (low, high) => {
    if (low !== undefined && high !== undefined) return text("from-to", { from: number(low), to: number(high) });
    if (low !== undefined) return text("from", { from: number(low) });
    return high === undefined ? "" : text("to", { to: number(high) });
  };
  if (kind === "string") {
    const length = words(bounds.minLength, bounds.maxLength);
    return length && text("characters", { range: length });
  }
  if (kind !== "number" && kind !== "integer") return "";
  const parts = [words(bounds.minimum, bounds.maximum)];
  if (bounds.exclusiveMinimum !== undefined) parts.unshift(text("above", { from: number(bounds.exclusiveMinimum) }));
  if (bounds.exclusiveMaximum !== undefined) parts.push(text("below", { to: number(bounds.exclusiveMaximum) }));
  return parts.filter(Boolean).join(", ");
}

/**
 * Fill an element with a form.
 *
 * `fields`: of the pack's schema; `below`: key -> {raw, label} of what counts if nothing is set here; `placeholder`: of
 * secrets; `change(text)` is called with each new text.
 */
export class Form {
  constructor(element, { fields, below, placeholder, canWrite, change }) {
    Object.assign(this, { element, below, placeholder, change, text: "{}", rows: [], said: texts() });
    this.set = make("fieldset", { className: "fields", disabled: !canWrite });
    this.set.append(...fields.map((field) => this.#row(field, [field.key])));
    this.others = make("p", { className: "label others" });
    element.replaceChildren(this.set, this.others);
    this.known = new Set(fields.map((field) => field.key));
  }

  /** Show the values of a text, which is an object of JSON; `afresh`: also where something wrong was typed. */
  show(text, { afresh = false } = {}) {
    this.text = text;
    for (const row of afresh ? this.rows : []) if (row.isWrong) this.#complain(row, "");
    const root = parse(text);
    for (const row of this.rows) this.#fill(row, this.#find(root, row.path));
    const others = [...new Set(root.entries.map((one) => one.key))].filter((key) => !this.known.has(key));
    this.others.hidden = !others.length;
    this.others.replaceChildren(`${this.said("other-keys")} `);
    others.forEach((key, number) => this.others.append(number ? ", " : "", make("code", { textContent: key })));
  }

  /** The first input that holds something that cannot be its value; undefined if there is none. */
  wrong() {
    return this.rows.find((row) => row.isWrong)?.input;
  }

  #row(field, path) {
    const id = `field-${path.map(encodeURIComponent).join("/")}`;
    if (field.kind === "object") return this.#group(field, path);
    const row = { field, path, isWrong: false };
    const name = make("label", { htmlFor: id, textContent: field.title || field.key });
    const title = make("div", { className: "name" }, name);
    if (field.title && field.title !== field.key) title.append(make("code", { textContent: field.key }));
    if (field.required) title.append(make("span", { className: "badge", textContent: this.said("required") }));
    row.input = this.#input(field);
    row.input.id = id;
    row.json = make("p", { className: "only-json", hidden: true });
    row.unset = make("button", { type: "button", className: "unset", textContent: "×" });
    row.unset.setAttribute("aria-label", this.said("unset", { key: field.key }));
    row.unset.title = this.said("unset", { key: field.key });
    row.unset.addEventListener("click", () => {
      row.isWrong = false;
      this.#apply(unset(this.text, path));
      row.input.focus();
    });
    row.wrong = make("p", { className: "wrong bad", id: `${id}-wrong` });
    row.wrong.setAttribute("role", "alert");
    const help = make("p", { className: "label", id: `${id}-help`, textContent: this.#help(field) });
    row.input.setAttribute("aria-describedby", `${help.id} ${row.wrong.id}`);
    row.input.addEventListener("input", () => this.#typed(row));
    this.rows.push(row);
    const value = make("div", { className: "value" }, row.input, row.json, row.unset);
    return make("div", { className: "field" }, title, value, row.wrong, help);
  }

  #group(field, path) {
    const set = make("fieldset", { className: "group" }, make("legend", { textContent: field.title || field.key }));
    const below = this.below.get(field.key);
    const notes = [field.description, below && this.said("whole-object", { source: below.label })].filter(Boolean);
    if (notes.length) set.append(make("p", { className: "label", textContent: notes.join(" ") }));
    const row = { field, path, group: set, json: make("p", { className: "only-json", hidden: true }) };
    this.rows.push(row);
    row.inner = field.fields.map((one) => this.#row(one, [...path, one.key]));
    set.append(row.json, ...row.inner);
    return set;
  }

  #input(field) {
    if (field.kind === "boolean" || field.kind === "enum") return make("select");
    if (field.kind === "array") return make("textarea", { rows: 1, spellcheck: false });
    const input = make("input", { type: "text", autocomplete: field.secret ? "new-password" : "off", spellcheck: false });
    if (field.kind === "number" || field.kind === "integer") input.inputMode = "decimal";
    if (field.secret) input.addEventListener("focus", () => input.value === this.placeholder && input.select());
    return input;
  }

  #help(field) {
    const parts = [field.description, range(this.said, field)];
    if (field.kind === "array") parts.push(this.said("lines"));
    if (!field.kind) parts.push(this.said("only-json-field"));
    if (field.secret) parts.push(this.said("secret"));
    const ended = parts.filter(Boolean).map((one) => sentence(one));
    return ended.join(" ");
  }

  #find(root, path) {
    let found = root;
    for (const key of path) found = found?.kind === "object" ? entry(found, key)?.value : undefined;
    return found;
  }

  #fill(row, value) {
    const raw = value && this.text.slice(value.start, value.end);
    const fits = !value || this.#fits(row.field, value, raw);
    row.json.hidden = fits && Boolean(row.field.kind);
    if (!row.json.hidden) {
      row.json.replaceChildren(this.said("only-json"), " ", make("code", { textContent: raw ?? this.said("not-set") }));
    }
    if (row.group) {
      for (const one of row.inner) one.hidden = !fits;
      return;
    }
    row.input.hidden = !row.json.hidden;
    row.unset.hidden = !value;
    if (!row.json.hidden) return;
    if (row.isWrong) return; // it stays until somebody corrects it: it is not in the text
    const { below } = this.#otherwise(row);
    if (row.input.tagName === "SELECT") this.#choices(row, value && raw, below);
    else if (document.activeElement !== row.input) row.input.value = this.#written(row.field, value, raw);
    row.input.placeholder = below;
    if (row.field.kind === "array") row.input.rows = Math.min(MOST_LINES, row.input.value ? row.input.value.split("\n").length + 1 : 1);
    if (row.field.secret) row.input.type = value && row.input.value !== this.placeholder ? "password" : "text";
  }

  /** What counts if nothing is set here, in words. */
  #otherwise({ field, path }) {
    const stated = path.length === 1 ? this.below.get(field.key) : undefined;
    if (stated) return { below: this.said("inherited-hint", { value: stated.raw, source: stated.label }) };
    if (field.default === null) return { below: "" };
    return { below: this.said("inherited-hint", { value: field.default, source: this.said("of-pack") }) };
  }

  #choices({ field, input }, raw, below) {
    const choices = field.kind === "boolean" ? ["true", "false"] : [...field.choices];
    const chosen = raw === undefined ? "" : (choices.find((one) => same(one, raw)) ?? raw);
    if (chosen && !choices.includes(chosen)) choices.push(chosen);
    const words = { true: this.said("yes"), false: this.said("no") };
    const label = (one) => (field.kind === "boolean" ? words[one] : one.startsWith('"') && one !== '""' ? JSON.parse(one) : one);
    const none = below ? `${this.said("not-set")}: ${below}` : this.said("not-set");
    const options = [["", none], ...choices.map((one) => [one, label(one)])];
    input.replaceChildren(...options.map(([value, textContent]) => make("option", { value, textContent })));
    input.value = chosen;
  }

  #fits(field, value, raw) {
    const isHidden = field.secret && value.kind === "text" && value.value === this.placeholder;
    const of = {
      string: () => value.kind === "text" && !/[\r\n]/.test(value.value),
      number: () => value.kind === "number" || isHidden,
      integer: () => (value.kind === "number" && /^-?\d+$/.test(raw)) || isHidden,
      boolean: () => raw === "true" || raw === "false",
      enum: () => value.kind !== "object" && value.kind !== "array",
      array: () => value.kind === "array" && value.items.every((one) => this.#fitsItem(field, one)),
      object: () => value.kind === "object",
    }[field.kind];
    return Boolean(of?.());
  }

  #fitsItem(field, value) {
    const raw = this.text.slice(value.start, value.end);
    if (field.items === "string") return value.kind === "text" && value.value.trim() === value.value && value.value !== "" && !/[\r\n]/.test(value.value);
    return this.#fits({ kind: field.items, secret: false }, value, raw);
  }

  #written(field, value, raw) {
    if (!value) return "";
    if (value.kind === "text") return value.value;
    if (value.kind !== "array") return raw;
    return value.items.map((one) => (one.kind === "text" ? one.value : this.text.slice(one.start, one.end))).join("\n");
  }

  #typed(row) {
    const { field, input, path } = row;
    const typed = input.value;
    const kept = field.kind === "string" ? typed : typed.trim();
    if (kept === "") {
      this.#complain(row, "");
      this.#apply(unset(this.text, path));
      return;
    }
    const found = this.#raw(field, kept);
    this.#complain(row, found.wrong ? this.said(`wrong-${found.wrong}`) : "");
    if (found.wrong) return;
    this.#warn(row, kept);
    this.#apply(set(this.text, path, found.raw));
  }

  /** The JSON of what was typed, or the key of the text that says what is wrong with it. */
  #raw(field, typed) {
    const simple = (kind, text) => {
      if (kind === "string") return { raw: JSON.stringify(text) };
      if (kind === "boolean") return text === "true" || text === "false" ? { raw: text } : { wrong: kind };
      const right = isNumber(text) && (kind === "number" || /^-?\d+$/.test(text));
      return right ? { raw: text } : { wrong: kind };
    };
    if (field.secret && typed === this.placeholder) return { raw: JSON.stringify(typed) };
    if (field.kind === "enum") return { raw: typed };
    if (field.kind !== "array") return simple(field.kind, typed);
    const items = typed.split("\n").map((one) => one.trim()).filter(Boolean).map((one) => simple(field.items, one));
    return items.find((one) => one.wrong) ?? { raw: `[${items.map((one) => one.raw).join(", ")}]` };
  }

  #complain(row, said) {
    row.isWrong = said !== "";
    row.wrong.textContent = said;
    row.input.setAttribute("aria-invalid", String(row.isWrong));
  }

  /** Say that a value is out of its bounds. It is kept: the server decides. */
  #warn(row, typed) {
    const { bounds, kind } = row.field;
    const size = kind === "string" ? typed.length : Number(typed);
    const [low, high] = kind === "string" ? [bounds.minLength, bounds.maxLength] : [bounds.minimum, bounds.maximum];
    const out = kind === "string" || kind === "number" || kind === "integer"
      ? size < low || size > high || size <= bounds.exclusiveMinimum || size >= bounds.exclusiveMaximum : false;
    row.wrong.textContent = out ? this.said("out-of-range", { range: range(this.said, row.field) }) : "";
  }

  #apply(text) {
    this.show(text);
    this.change(text);
  }
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?:]$/.test(text) ? "" : ".");

/** Whether two texts of JSON are the same simple value. */
function same(one, other) {
  try {
    return JSON.parse(one) === JSON.parse(other);
  } catch {
    return false;
  }
}
