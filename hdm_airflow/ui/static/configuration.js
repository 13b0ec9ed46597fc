// The editor of one configuration.
import { Draft } from "./configuration_draft.js";
import { belowOf, showEffective } from "./configuration_effective.js";
import { Form, texts } from "./configuration_form.js";
import { doubled, Fault, format, parse, place } from "./json_text.js";
import { difference, showDifference } from "./lines.js";
import { remember } from "./links.js";
import { say, sayError } from "./messages.js";
import { get, post } from "./request.js";
import { showTimes } from "./times.js";

const NEW = "{\n}\n"; // what an editor begins with if nothing is stored
const byId = (id) => document.getElementById(id);
const [area, check, plain] = ["text", "check", "plain"].map(byId);
const said = texts();
let state = JSON.parse(byId("state").textContent);
let form;
let saved; // the text as it is stored, or NEW
let isSending = false;

const draft = new Draft({ key: state.addresses.save + JSON.stringify(state.meant), actor: state.actor, take, saved: () => saved });

/** Begin with what is stored. */
function begin() {
  saved = state.text ?? NEW;
  area.value = saved;
  plain.checked = state.text !== null && state.text.trim() !== "" && fault(state.text) !== null;
  form = new Form(byId("form"), {
    fields: state.fields,
    below: state.meant.endpoint ? belowOf(state) : new Map(), // a version's text replaces that of a lower one
    placeholder: state.placeholder,
    canWrite: state.can_write,
    change: (text) => {
      area.value = text;
      changed();
    },
  });
  const [lower] = Object.values(state.below_keys);
  byId("lower").hidden = !(lower && !state.meant.endpoint && state.text === null && state.can_write);
  if (lower) byId("lower-label").textContent = lower.label;
  byId("secrets").hidden = !saved.includes(state.placeholder);
  changed();
}

/** The fault of a text, null if it is JSON. */
function fault(text) {
  try {
    parse(text);
    return null;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
}

const isChanged = () => area.value !== saved;

/** What follows from the text. */
function changed() {
  const wrong = plain.checked ? null : fault(area.value);
  tell(wrong);
  const isNew = isChanged() || state.text === null;
  const text = state.text === null && !isChanged() ? null : area.value;
  const isShown = showEffective(byId("effective"), { text, plain: plain.checked, isNew, state, said });
  byId("effective-note").hidden = isShown;
  byId("effective-note").textContent = said("invalid");
  allow(byId("save"), isChanged() ? "" : said("unchanged"));
  allow(byId("run"), isChanged() ? said("save-first") : "");
  draft.keep(area.value, state.seen, isChanged() && state.can_write);
}

/** Disable a control with a reason, unless the server has disabled it for good. */
function allow(button, reason) {
  button.dataset.refused ??= button.title;
  const why = button.dataset.refused || reason;
  if (why) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
  button.title = why;
  button.setAttribute("aria-description", why);
}

const refused = (button) => button.getAttribute("aria-disabled") === "true";

/** Say whether the text is JSON, and where it is not. */
function tell(wrong) {
  area.setAttribute("aria-invalid", String(Boolean(wrong)));
  check.className = wrong ? "bad" : "label";
  if (wrong) {
    const cause = said(`json-${wrong.cause}`, wrong.values);
    const go = document.createElement("button");
    go.type = "button";
    go.textContent = said("go");
    go.addEventListener("click", () => goTo(wrong.at));
    check.replaceChildren(`✕ ${said("fault", { ...place(area.value, wrong.at), cause })} `, go);
    return;
  }
  if (plain.checked) {
    check.replaceChildren(said("plain"));
    return;
  }
  if (state.text === null && !isChanged() && !state.seen) {
    check.className = "label";
    check.replaceChildren(said("nothing-yet"));
    return;
  }
  const root = parse(area.value);
  const [key] = root.kind === "object" ? doubled(root) : [];
  const note = root.kind === "object" ? key !== undefined && said("duplicate", { key }) : said("not-object");
  check.className = note ? "warn" : "label";
  check.replaceChildren(note ? `! ${note}` : `✓ ${said("valid")}`);
}

function goTo(at) {
  view("json");
  area.focus();
  area.setSelectionRange(at, Math.min(at + 1, area.value.length));
  const line = area.value.slice(0, at).split("\n").length;
  area.scrollTop = (area.scrollHeight / area.value.split("\n").length) * Math.max(0, line - 5);
}

/** Show the form or the JSON. The form needs an object. */
function view(wanted) {
  let name = wanted;
  if (name === "form") {
    const wrong = plain.checked ? { cause: "plain" } : fault(area.value);
    const isObject = !wrong && parse(area.value).kind === "object";
    if (isObject) form.show(area.value, { afresh: true });
    else {
      name = "json";
      say(said(wrong && !plain.checked ? "correct-first" : "form-needs-object"), { kind: "error" });
    }
  }
  byId("form").hidden = name !== "form";
  byId("json").hidden = name !== "json";
  document.querySelector(`input[name=view][value=${name}]`).checked = true;
  const address = new URL(location.href);
  address.searchParams.set("view", name);
  if (address.href !== location.href && wanted === name) remember(address);
}

function firstView() {
  const wanted = new URL(location.href).searchParams.get("view");
  const canForm = state.fields.length && !plain.checked && !fault(area.value) && parse(area.value).kind === "object";
  const name = canForm && wanted !== "json" ? "form" : "json";
  byId("form").hidden = name !== "form";
  byId("json").hidden = name !== "json";
  document.querySelector(`input[name=view][value=${name}]`).checked = true;
  if (name === "form") form.show(area.value);
}

/** Send an act; `done` says what to tell. */
async function act(name, more, done) {
  if (isSending) return;
  isSending = true;
  const sent = area.value;
  try {
    const answer = await post(state.addresses[name], { ...state.meant, seen: state.seen, ...more });
    byId("conflict").hidden = true;
    state.seen = answer.seen ?? state.seen;
    draft.drop();
    const typed = area.value;
    await refresh();
    if (typed !== sent) take({ text: typed, seen: state.seen }); // while the answer was on its way
    const [warning] = answer.warnings ?? [];
    if (warning) say(`${said("saved-as")} ${warning}`, { kind: "error" });
    else say(said(done));
  } catch (error) {
    if (error.status === 409 && name === "save") await conflict(error);
    else sayError(error);
  } finally {
    isSending = false;
  }
}

async function save() {
  const button = byId("save");
  if (refused(button)) {
    say(button.title);
    return;
  }
  const wrong = form.wrong();
  if (wrong && !byId("form").hidden) {
    wrong.focus();
    return;
  }
  const found = plain.checked ? null : fault(area.value);
  if (found) {
    goTo(found.at);
    return;
  }
  await act("save", { text: area.value, plain: plain.checked }, "saved");
}

/** Take over what the server shows now, without losing the place on the page. */
async function refresh() {
  const focused = document.activeElement?.id;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => ({ ok: false, text: () => "" }));
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("state");
  if (!answer.ok || !fresh) {
    location.reload();
    return;
  }
  state = JSON.parse(fresh.textContent);
  for (const id of ["history", "facts", "remove", "removal-text"]) byId(id).replaceWith(document.adoptNode(page.getElementById(id)));
  showTimes(byId("history"));
  const shown = byId("form").hidden ? "json" : "form";
  begin();
  if (shown === "form") form.show(area.value);
  if (document.activeElement === document.body) (byId(focused) ?? byId("save")).focus(); // its place was made anew
}

/** Somebody else was faster: show what is stored now beside the text. */
async function conflict(error) {
  const now = await get(state.addresses.stored + (state.addresses.stored.includes("?") ? "&" : "?") + new URLSearchParams(state.meant)).catch(
    () => null,
  );
  byId("conflict-what").textContent = error.what;
  const isThere = now !== null && now.text !== null;
  byId("conflict-removed").hidden = isThere || now === null;
  byId("conflict-difference").hidden = byId("conflict-how").hidden = !isThere;
  if (isThere) showDifference(byId("conflict-difference"), difference(now.text, area.value));
  byId("conflict-mine").onclick = () => {
    state.seen = now.seen;
    save();
  };
  byId("conflict-theirs").onclick = async () => {
    draft.drop();
    byId("conflict").hidden = true;
    await refresh();
    area.focus();
  };
  for (const id of ["conflict-mine", "conflict-theirs"]) byId(id).disabled = now === null;
  byId("conflict").hidden = false;
  byId("conflict").focus();
  byId("conflict").scrollIntoView({ block: "nearest" });
}

/** Take a draft. */
function take({ text, seen }) {
  area.value = text;
  state.seen = seen;
  plain.checked = plain.checked && fault(text) !== null;
  changed();
  if (!byId("form").hidden) view("form");
}

async function run() {
  if (refused(byId("run"))) {
    say(byId("run").title);
    return;
  }
  if (isSending) return;
  isSending = true;
  const pack = state.task_id;
  const { endpoint } = state.meant;
  try {
    const { runAtOnce, runNow } = await import("./run_now.js");
    if (endpoint) await runAtOnce({ pack, endpoint, open: said("open-run") });
    else await runNow({ packs: [pack], endpoints: null });
  } catch (error) {
    sayError(error);
  } finally {
    isSending = false;
  }
}

function listen() {
  area.addEventListener("input", changed);
  plain.addEventListener("change", changed);
  byId("format").addEventListener("click", () => {
    if (refused(byId("format"))) return;
    const found = fault(area.value);
    if (found) goTo(found.at);
    else {
      area.value = `${format(area.value)}\n`;
      changed();
    }
  });
  for (const one of document.querySelectorAll("input[name=view]")) one.addEventListener("change", () => view(one.value));
  byId("save").addEventListener("click", save);
  byId("run").addEventListener("click", run);
  byId("lower-take").addEventListener("click", () => {
    area.value = `${format(state.below)}\n`;
    byId("lower").hidden = true;
    changed();
    view(state.fields.length ? "form" : "json");
  });
  byId("version")?.addEventListener("change", (event) => draft.leave(event.target.value));
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    event.preventDefault();
    save();
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("#remove, [data-restore]");
    if (!button) return;
    if (refused(button)) say(button.title);
    else if (button.id === "remove") byId("removal").showModal();
    else act("restore", { change: Number(button.dataset.restore), before: button.dataset.before === "1" }, "restored");
  });
  byId("removal").addEventListener("close", () => {
    if (byId("removal").returnValue === "yes") act("remove", {}, "removed");
    byId("removal").returnValue = "";
  });
}

begin();
area.disabled = false; // what somebody types before would be lost
firstView();
listen();
draft.offer();
