// Run now: asks before it starts a run of some packs on some endpoints.
import { address, make } from "./dom.js";
import { openAirflow } from "./links.js";
import { say, sayError } from "./messages.js";
import { get, post } from "./request.js";

const SHOWN = 5; // names; the rest is counted

const element = (name, text = "", attributes = {}) => make(name, attributes, text);

function named(names, all, more) {
  if (names === null) return all;
  const shown = names.slice(0, SHOWN).map((one) => one.split(":")[0]);
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
  const buttons = element("div", "", { class: "buttons" });
  const cancel = element("button", texts.cancel, { type: "button" });
  const run = element("button", texts.run, { class: "primary" });
  if (plan.refusal) {
    run.disabled = true;
    run.title = plan.refusal;
  }
  buttons.append(cancel, run);
  form.append(
    element("h2", texts.title, { id: "run-now-title" }), list, label,
    element("p", texts["date-help"], { id: "run-now-date-help", class: "label" }),
    ...[...plan.notes, plan.refusal].filter(Boolean).map((note) => element("p", note)), buttons,
  );
  dialog.append(form);
  cancel.addEventListener("click", () => dialog.close());
  return { dialog, form, date, run };
}

/**
 * Ask, then start a run. `packs`: as in their tasks, such as mp_basic, or null for all of the environment; `endpoints`:
 * slugs, or null for all that are activated. Errors are shown; focus returns to where it was.
 */
export async function runNow({ packs = null, endpoints = null }) {
  let plan;
  try {
    plan = await get(address("/run-now/plan"));
  } catch (error) {
    sayError(error);
    return;
  }
  const { dialog, form, date, run } = build(plan, packs, endpoints);
  const before = document.activeElement;
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus?.();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    run.disabled = true;
    try {
      const answer = await post(address("/run-now"), { packs, endpoints, date: date.value });
      dialog.close();
      say(answer.said, { action: { text: plan.texts.open, run: () => openAirflow(answer.run) } });
    } catch (error) {
      dialog.close();
      sayError(error);
    }
  });
  dialog.showModal();
  run.focus();
}
