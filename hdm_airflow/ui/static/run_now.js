// Run now: asks before it starts a run of some packs on some endpoints.
import { address, make, refusal, refuse, showDialog } from "./dom.js";
import { openAirflow } from "./links.js";
import { say, sayError } from "./messages.js";
import { get, post } from "./request.js";

const SHOWN = 5; // names; the rest is counted

const element = (name, text = "", attributes = {}) => make(name, attributes, text);

/** What people call an endpoint: the first part of its slug, with the host; a pack's name has no colon. */
function called(slug) {
  const [name, , host] = slug.split(":").map((part) => decodeURIComponent(part.replace(/%(?!25|3A)/g, "%25")));
  return host ? `${name} (${host})` : name;
}

function named(names, all, more) {
  if (names === null) return all;
  const shown = names.slice(0, SHOWN).map(called);
  if (names.length > SHOWN) shown.push(more.replace("{count}", names.length - SHOWN));
  return shown.join(", ");
}

function build(plan, packs, endpoints) {
  const { texts } = plan;
  const dialog = element("dialog", "", { "aria-labelledby": "run-now-title", class: "run-now" });
  const form = element("form", "", { method: "dialog" });
  const list = element("dl");
  list.append(
    element("dt", texts.packs), element("dd", named(packs, texts["all-packs"], texts.more)),
    element("dt", texts.endpoints), element("dd", named(endpoints, texts["all-endpoints"], texts.more)),
  );
  const label = element("label", `${texts.date} `);
  const date = element("input", "", { type: "date", required: "", "aria-describedby": "run-now-date-help" });
  date.value = plan.date;
  label.append(date);
  const fault = element("p", "", { class: "bad", role: "alert" });
  const buttons = element("div", "", { class: "buttons" });
  const cancel = element("button", texts.cancel, { type: "button" });
  const run = element("button", texts.run, { class: "primary" });
  if (plan.refusal) refuse(run, plan.refusal);
  buttons.append(cancel, run);
  form.append(
    element("h2", texts.title, { id: "run-now-title" }), list, label,
    element("p", texts["date-help"], { id: "run-now-date-help", class: "label" }),
    ...[...plan.notes, plan.refusal].filter(Boolean).map((note) => element("p", note)), fault, buttons,
  );
  dialog.append(form);
  cancel.addEventListener("click", () => dialog.close());
  return { dialog, form, date, run, fault };
}

/** Start a run of one pack on one endpoint for the newest metric date. Throws what the server says. */
export async function runAtOnce({ pack, endpoint, open }) {
  const answer = await post(address("/run-now"), { packs: [pack], endpoints: [endpoint] });
  say(answer.said, { action: { text: open, run: () => openAirflow(answer.run) } });
}

/**
 * Ask, then start a run. `packs`: as in their tasks, such as mp_basic, or null for all of the environment; `endpoints`:
 * slugs, or null for all that are activated. Errors are shown; the focus returns to where it was.
 */
export async function runNow({ packs = null, endpoints = null }) {
  if (document.querySelector("dialog.run-now")) return; // a second click
  let plan;
  try {
    plan = await get(address("/run-now/plan"));
  } catch (error) {
    sayError(error);
    return;
  }
  const { dialog, form, date, run, fault } = build(plan, packs, endpoints);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (refusal(run) || run.disabled) return;
    run.disabled = true;
    fault.textContent = "";
    try {
      const answer = await post(address("/run-now"), { packs, endpoints, date: date.value });
      dialog.close();
      say(answer.said, { action: { text: plan.texts.open, run: () => openAirflow(answer.run) } });
    } catch (error) {
      fault.textContent = [error.what ?? String(error), error.hint].filter(Boolean).join(". ");
      run.disabled = false;
    }
  });
  showDialog(dialog);
  run.focus();
}
