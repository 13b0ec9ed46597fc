// JSON as a text that people write: where each value stands in it, what is wrong with it, and changes that leave the
// rest of the text as it was. Numbers are kept as they are written.

const DEEPEST = 100;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const WORDS = { true: true, false: false, null: null };
const OTHER_WORDS = { True: "true", False: "false", None: "null", TRUE: "true", FALSE: "false", NULL: "null" };
const SINGLE = "'\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb`";
const SPACE = " \t\r\n";

/** What is wrong with a text: `at` is the position of the fault, `cause` the key of a text, `values` what belongs in it. */
export class Fault extends Error {
  constructor(at, cause, values = {}) {
    super(cause);
    Object.assign(this, { at, cause, values });
  }
}

/** Whether a text is a number of JSON. */
export const isNumber = (text) => NUMBER.test(text);

/** Line and column, from 1, of a position. */
export function place(text, at) {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before.at(-1).length + 1 };
}

/**
 * Read a text. A value is {kind, start, end} and more: `entries` of an object ({key, start, value}), `items` of an array,
 * `value` of a text or word, `raw` of a number. Throws a Fault.
 */
export function parse(text) {
  let at = 0;
  if (text.charCodeAt(0) === 0xfeff) at = 1;

  function space() {
    while (at < text.length && SPACE.includes(text[at])) at += 1;
    if (text[at] === "#" || text.startsWith("//", at) || text.startsWith("/*", at)) throw new Fault(at, "comment");
  }

  function string() {
    const start = at;
    for (at += 1; at < text.length; at += 1) {
      const sign = text[at];
      if (sign === '"') {
        at += 1;
        return { kind: "text", start, end: at, value: JSON.parse(text.slice(start, at)) };
      }
      if (sign === "\n") throw new Fault(start, "open");
      if (sign < " ") throw new Fault(at, "control");
      if (sign === "\\") {
        const match = /^\\(["\\/bfnrt]|u[0-9a-fA-F]{4})/.exec(text.slice(at, at + 6));
        if (!match) throw new Fault(at, "escape");
        at += match[0].length - 1;
      }
    }
    throw new Fault(start, "open");
  }

  function bare() {
    const start = at;
    const word = /^[^\s,:[\]{}"]+/.exec(text.slice(at))?.[0] ?? "";
    if (SINGLE.includes(text[at])) throw new Fault(at, "single");
    if (Object.hasOwn(OTHER_WORDS, word)) throw new Fault(at, "word", { word, right: OTHER_WORDS[word] });
    if (Object.hasOwn(WORDS, word)) {
      at += word.length;
      return { kind: "word", start, end: at, value: WORDS[word] };
    }
    if (NUMBER.test(word)) {
      at += word.length;
      return { kind: "number", start, end: at, raw: word };
    }
    if (/^[-+.\d]/.test(word)) throw new Fault(at, "number");
    if (word) throw new Fault(at, "quotes", { word: word.slice(0, 40) });
    throw new Fault(at, "value");
  }

  function key() {
    if (at >= text.length) throw new Fault(at, "end");
    if (text[at] === '"') return string();
    if (SINGLE.includes(text[at])) throw new Fault(at, "single");
    const word = /^[^\s,:[\]{}"]+/.exec(text.slice(at))?.[0];
    throw word ? new Fault(at, "quotes", { word: word.slice(0, 40) }) : new Fault(at, "key");
  }

  function many(closing, entry) {
    const found = [];
    at += 1;
    space();
    if (text[at] === closing) {
      at += 1;
      return found;
    }
    for (;;) {
      found.push(entry());
      space();
      if (at >= text.length) throw new Fault(at, "end");
      if (text[at] === closing) {
        at += 1;
        return found;
      }
      if (text[at] === "]" || text[at] === "}") throw new Fault(at, "bracket");
      if (text[at] !== ",") throw new Fault(at, "comma");
      const comma = at;
      at += 1;
      space();
      if (text[at] === closing) throw new Fault(comma, "comma-last");
    }
  }

  function value(depth) {
    space();
    if (at >= text.length) throw new Fault(at, text.trim() ? "end" : "empty");
    if (depth > DEEPEST) throw new Fault(at, "deep");
    const start = at;
    if (text[at] === "{") {
      const entries = many("}", () => {
        const name = key();
        space();
        if (at >= text.length) throw new Fault(at, "end");
        if (text[at] !== ":") throw new Fault(at, "colon");
        at += 1;
        return { key: name.value, start: name.start, value: value(depth + 1) };
      });
      return { kind: "object", start, end: at, entries };
    }
    if (text[at] === "[") {
      const items = many("]", () => value(depth + 1));
      return { kind: "array", start, end: at, items };
    }
    return text[at] === '"' ? string() : bare();
  }

  const found = value(1);
  space();
  if (at < text.length) throw new Fault(at, "more");
  return found;
}

/** The entry of a key; of several, the last, which counts. */
export const entry = (object, key) => object.entries.findLast((one) => one.key === key);

/** The keys that stand twice in an object. */
export function doubled(object) {
  const keys = object.entries.map((one) => one.key);
  return [...new Set(keys.filter((key, number) => keys.indexOf(key) !== number))];
}

/** The text with another value at a path of keys; objects on the way are made. `raw` is JSON. */
export function set(text, path, raw) {
  let object = parse(text);
  for (const [number, key] of path.entries()) {
    const found = entry(object, key);
    const isLast = number === path.length - 1;
    if (found && !isLast && found.value.kind === "object") {
      object = found.value;
      continue;
    }
    const rest = path.slice(number + 1).reverse();
    const value = rest.reduce((inner, one) => `{${JSON.stringify(one)}: ${inner}}`, raw);
    return found ? splice(text, found.value.start, found.value.end, value) : insert(text, object, key, value);
  }
  return text;
}

/** The text without the value at a path of keys, and without an object that is empty then. */
export function unset(text, path) {
  let object = parse(text);
  const above = [];
  for (const key of path.slice(0, -1)) {
    above.push(object);
    object = entry(object, key)?.value;
    if (object?.kind !== "object") return text;
  }
  const key = path.at(-1);
  const number = object.entries.findLastIndex((one) => one.key === key);
  if (number < 0) return text;
  if (object.entries.length === 1 && above.length) return unset(text, path.slice(0, -1));
  const { entries } = object;
  let shorter;
  if (entries.length === 1) shorter = splice(text, object.start + 1, object.end - 1, "");
  else if (number < entries.length - 1) shorter = splice(text, entries[number].start, entries[number + 1].start, "");
  else shorter = splice(text, entries[number - 1].value.end, entries[number].value.end, "");
  return unset(shorter, path); // an earlier entry of the same key would count now
}

/** The text with a line for each entry. */
export function format(text) {
  const lines = (value, indent) => {
    const inner = `${indent}  `;
    const parts =
      value.kind === "object"
        ? value.entries.map((one) => `${JSON.stringify(one.key)}: ${lines(one.value, inner)}`)
        : value.kind === "array"
          ? value.items.map((one) => lines(one, inner))
          : null;
    if (!parts) return text.slice(value.start, value.end);
    const [open, close] = value.kind === "object" ? "{}" : "[]";
    return parts.length ? `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${indent}${close}` : open + close;
  };
  return lines(parse(text), "");
}

function splice(text, start, end, part) {
  return text.slice(0, start) + part + text.slice(end);
}

function insert(text, object, key, raw) {
  const added = `${JSON.stringify(key)}: ${raw}`;
  const last = object.entries.at(-1);
  if (!last) {
    const indent = /[^\S\n]*$/.exec(text.slice(0, object.start).split("\n").at(-1))[0];
    return splice(text, object.start, object.end, `{\n${indent}  ${added}\n${indent}}`);
  }
  const before = object.entries.length > 1 ? object.entries.at(-2).value.end : object.start;
  const gap = text.slice(before + 1, last.start).replace(/^[\s\S]*?,/, "");
  return splice(text, last.value.end, last.value.end, `,${/^\s*$/.test(gap) ? gap || " " : " "}${added}`);
}
