// The activation matrix: puts its parts together.
import { refusal, refuse } from "./dom.js";
import { Actions } from "./matrix_actions.js";
import { Grid } from "./matrix_grid.js";
import { followKeys } from "./matrix_keys.js";
import { Store } from "./matrix_store.js";
import { say, sayError } from "./messages.js";

function filters() {
  const form = document.getElementById("filters");
  form.addEventListener("change", () => form.requestSubmit());
  form.addEventListener("submit", () => {
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true; // short addresses
  });
  addEventListener("pageshow", () => {
    for (const field of form.elements) field.disabled = false;
  });
}

function clicks(grid, actions) {
  const { element, store } = grid;
  element.addEventListener("click", (event) => {
    const at = grid.where(event.target);
    if (!at) return;
    const { place, column } = at;
    const { target } = event;
    if (target.matches("input[type=checkbox]")) {
      event.preventDefault(); // shown when the store has changed
      grid.move(place, column);
      actions.toggle(place, column);
    } else if (target.matches("button.menu")) {
      actions.menu(place, column);
    } else if (target.matches("button.state")) {
      actions.details(place, column);
    } else if (target.matches("button.like")) {
      actions.act("/matrix/like", { endpoint: store.rows.get(place).slug, like: target.dataset.like });
    } else if (!target.matches("a")) {
      grid.move(place, column);
    }
  });
}

function start(element, data) {
  const store = new Store(data);
  const grid = new Grid(element, store, data);
  const actions = new Actions(grid, data);
  store.addEventListener("fault", ({ detail }) => sayError(detail));
  store.addEventListener("columns", () => actions.reload());
  clicks(grid, actions);
  const acts = ["toggle", "configure", "details", "log", "run", "menu"];
  followKeys(grid, Object.fromEntries(acts.map((act) => [act, (...at) => actions[act](...at)])));
  const bulk = document.getElementById("bulk");
  bulk.addEventListener("click", () => (refusal(bulk) ? say(refusal(bulk), { kind: "error" }) : actions.bulk()));
  if (data.refusals.write) refuse(bulk, data.refusals.write);
  actions.resume();
  element.dataset.ready = "1";
}

filters();
const element = document.getElementById("grid");
if (element) start(element, JSON.parse(document.getElementById("data").textContent));
else document.getElementById("bulk").disabled = true;
