// What a person does in the matrix beyond a single check box: menus, details, many cells at once.
import { address, fill, make, parameters, refuse, showDialog } from "./dom.js";
import { offerEndpoints } from "./endpoint_choice.js";
import { openAirflow } from "./links.js";
import { say, sayError } from "./messages.js";
import { get } from "./request.js";
import { runNow } from "./run_now.js";
import { showTimes } from "./times.js";

const MOST = 500; // endpoints that a run can name

/** A button; if `why` is not '', it only says why it does nothing. */
function button(text, onclick, why = "") {
  const made = make("button", { type: "button", onclick: () => (why ? say(why, { kind: "error" }) : onclick()) }, text);
  return why ? refuse(made, why) : made;
}

export class Actions {
  constructor(grid, { texts, refusals }) {
    Object.assign(this, { grid, store: grid.store, texts, refusals });
  }

  names(place, column) {
    return { pack: this.store.columns[column].task, endpoint: this.store.rows.get(place).name };
  }

  async toggle(place, column) {
    const { store, texts, refusals, grid } = this;
    const row = store.rows.get(place);
    if (!row) return;
    const pack = store.columns[column];
    const { active } = store.cell(place, column);
    const never = grid.whyNever(row, pack);
    const why = refusals.write || (active ? "" : never);
    if (why) {
      say(why, { kind: "error" });
      return;
    }
    try {
      const now = await store.toggle(place, column);
      const said = fill(texts[now ? "on" : "off"], this.names(place, column));
      say(said, never ? {} : { action: { text: texts.undo, run: () => this.toggle(place, column) } });
    } catch (error) {
      sayError(error);
    }
    if (document.activeElement === document.body) grid.move(place, column);
  }

  configurationOf(place, column) {
    const { kind, name: pack } = this.store.columns[column];
    return address("/configuration/edit", { kind, pack, endpoint: place < 0 ? null : this.store.rows.get(place).slug });
  }

  configure(place, column) {
    location.assign(this.configurationOf(place, column));
  }

  read(place, column) {
    const { kind, name: pack } = this.store.columns[column];
    return get(address("/matrix/details", { kind, pack, endpoint: this.store.rows.get(place).slug }));
  }

  async log(place, column) {
    try {
      const { run } = await this.read(place, column);
      if (run) openAirflow(run.log);
      else say(this.texts["no-log"]);
    } catch (error) {
      sayError(error);
    }
  }

  run(place, column) {
    const packs = column < 0 ? null : [this.store.columns[column].task];
    if (place >= 0) runNow({ packs, endpoints: [this.store.rows.get(place).slug] });
    else this.runShown(packs);
  }

  async runShown(packs) {
    const { store, texts } = this;
    if (!store.filtered) {
      runNow({ packs, endpoints: null });
      return;
    }
    if (store.keys.length > MOST) {
      say(texts["too-many"], { kind: "error" });
      return;
    }
    try {
      const { slugs } = await get(`${document.documentElement.dataset.root}/matrix/slugs?${parameters()}`);
      runNow({ packs, endpoints: slugs });
    } catch (error) {
      sayError(error);
    }
  }

  async details(place, column) {
    const { texts } = this;
    let found;
    try {
      found = await this.read(place, column);
    } catch (error) {
      sayError(error);
      return;
    }
    const { run, changed } = found;
    const list = make("dl");
    const line = (term, ...words) => list.append(make("dt", {}, term), make("dd", {}, ...words));
    line(texts["last-run"], run ? `${texts[run.state]} · ${run.date}` : texts.none);
    if (run?.reason) line(texts.reason, run.reason);
    if (changed) {
      const time = make("time", { datetime: changed.at, "data-time": "" }, changed.at);
      line(texts.changed, fill(texts[changed.active ? "activated-by" : "deactivated-by"], { name: changed.actor }), " · ", time);
    }
    const { pack, endpoint } = this.names(place, column);
    const dialog = make("dialog", { class: "details", "aria-labelledby": "details-title" },
      make("h2", { id: "details-title" }, fill(texts.activate, { pack, endpoint })), list,
      make("div", { class: "buttons" },
        make("button", { type: "button", onclick: () => dialog.close() }, texts.close),
        this.runButton(() => {
          dialog.close();
          this.run(place, column);
        }),
        make("a", { class: "button", href: this.configurationOf(place, column) }, texts.configure),
        run ? make("a", { class: "button primary", href: run.log, "data-airflow": "", autofocus: true }, texts.log) : null));
    showTimes(dialog);
    showDialog(dialog);
  }

  runButton(onclick) {
    const { texts, refusals } = this;
    return button(texts.run, onclick, refusals.run);
  }

  /** The menu of a row, a column or a cell. */
  menu(place, column) {
    const { texts, store, refusals } = this;
    if (place >= 0 && column >= 0) {
      this.details(place, column);
      return;
    }
    const row = place < 0 ? null : store.rows.get(place);
    if (place >= 0 && !row) return;
    const name = row ? row.name : store.columns[column].task;
    const item = (text, run, why = "") => {
      const made = button(text, () => {
        dialog.close();
        run();
      }, why);
      made.setAttribute("role", "menuitem");
      return made;
    };
    const items = row
      ? [item(texts["change-row"], () => this.bulk({ place }), refusals.write),
         item(texts.like, () => this.like(row), refusals.write || (row.registered ? "" : texts["gone-endpoint"])),
         item(texts.run, () => this.run(place, -1), refusals.run)]
      : [item(texts["change-column"], () => this.bulk({ column }), refusals.write),
         item(texts.configure, () => this.configure(-1, column)),
         item(texts.run, () => this.run(-1, column), refusals.run)];
    const dialog = make("dialog", { class: "menu", "aria-label": fill(texts.menu, { name }) }, make("div", { role: "menu" }, ...items));
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      items.at((items.indexOf(document.activeElement) + step) % items.length).focus();
    });
    const anchor = this.grid.find(place, column)?.getBoundingClientRect();
    showDialog(dialog);
    if (anchor) {
      const { width, height } = dialog.getBoundingClientRect();
      dialog.style.setProperty("left", `${Math.min(anchor.left + 8, innerWidth - width - 8)}px`);
      dialog.style.setProperty("top", `${Math.min(anchor.bottom, innerHeight - height - 8)}px`);
    }
  }

  /** Change many cells: a row, a column, or all that is shown; the server counts before, and can undo. */
  bulk({ place = null, column = null } = {}) {
    const { texts, store } = this;
    const row = place === null ? null : store.rows.get(place);
    const all = make("option", { value: "" }, `${texts.all} (${store.columns.length})`);
    const packs = make("select", {}, all, ...store.columns.map((one) => make("option", { value: one.task }, one.task)));
    if (column !== null) packs.value = store.columns[column].task;
    const counted = make("p", { role: "status" }, texts["bulk-counting"]);
    const act = (active) => make("button", { type: "button", class: active ? "primary" : null, disabled: true, onclick: () => change(active) });
    const [on, off] = [act(true), act(false)];
    const dialog = make("dialog", { class: "bulk", "aria-labelledby": "bulk-title" },
      make("h2", { id: "bulk-title" }, texts["bulk-title"]),
      make("dl", {},
        make("dt", {}, texts["bulk-endpoints"]), make("dd", {}, row ? row.name : fill(texts["bulk-shown"], { count: store.keys.length })),
        make("dt", {}, make("label", { for: "bulk-packs" }, texts["bulk-packs"])), make("dd", {}, packs)),
      counted,
      make("div", { class: "buttons" }, make("button", { type: "button", onclick: () => dialog.close() }, texts.cancel), off, on));
    packs.id = "bulk-packs";
    const selection = () => ({
      packs: packs.value ? [packs.value] : store.columns.map((one) => one.task),
      keys: row ? [row.key] : store.filtered ? store.keys : null, // a change may alter which rows match the filters
      digest: store.digest,
    });
    const label = (button, text, count) => {
      button.textContent = fill(text, { count });
      button.disabled = !count;
    };
    let newest = 0;
    const count = async () => {
      const number = (newest += 1);
      on.disabled = off.disabled = true;
      counted.textContent = texts["bulk-counting"];
      try {
        const found = await store.post("/matrix/count", selection());
        if (number !== newest) return; // of an earlier choice
        counted.textContent = fill(texts["bulk-counted"], found);
        label(on, texts["bulk-activate"], found.inactive);
        label(off, texts["bulk-deactivate"], found.active);
      } catch (error) {
        dialog.close();
        sayError(error);
      }
    };
    const change = async (active) => {
      const chosen = selection();
      dialog.close();
      await this.act("/matrix/change", { ...chosen, active });
    };
    label(on, texts["bulk-activate"], 0);
    label(off, texts["bulk-deactivate"], 0);
    packs.addEventListener("change", count);
    showDialog(dialog);
    count();
  }

  /** Send a bulk change, say what it did, and offer to undo it. */
  async act(path, body) {
    const { store, grid } = this;
    try {
      this.done = await store.post(path, body);
      this.tell(this.done);
    } catch (error) {
      sayError(error);
    }
    const { top, bottom } = grid.sight();
    await store.refresh(top, bottom).catch(sayError);
  }

  tell({ said, batch, cells }) {
    const undo = batch === null ? this.undoOne(cells) : () => this.act("/matrix/undo", { batch });
    say(said, undo ? { action: { text: this.texts.undo, run: undo } } : {});
  }

  /** Load the page again: its packs have changed, perhaps by the last change of many cells, which can still be undone. */
  reload() {
    history.replaceState({ done: this.done }, "");
    location.reload();
  }

  /** Say what was done before the page was loaded again. */
  resume() {
    const done = history.state?.done;
    history.replaceState(null, "");
    if (done) this.tell(done);
  }

  /** How to undo a change of one cell, which is no batch; null if nothing has changed, or its pack is gone. */
  undoOne(cells) {
    if (!cells.length) return null;
    const [[kind, pack, endpoint, active]] = cells;
    const column = this.store.columns.find((one) => one.kind === kind && one.name === pack);
    if (!active && (!column || column.gone || column.quarantined)) return null;
    return async () => {
      const wish = { kind, pack, endpoint, active: !active, seen: active };
      try {
        await this.store.post("/matrix/cell", wish);
      } catch (error) {
        sayError(error);
      }
      const { top, bottom } = this.grid.sight();
      await this.store.refresh(top, bottom).catch(sayError);
    };
  }

  /** Activate on an endpoint the packs of another one, chosen among the rows that are shown. */
  like(row) {
    const { texts } = this;
    const input = make("input", { list: "like-names", placeholder: texts["like-find"], required: true, autocomplete: "off", size: 48,
      "data-endpoints": address("/configuration/endpoints") });
    const list = make("datalist", { id: "like-names" });
    const form = make("form", { method: "dialog" },
      make("h2", { id: "like-title" }, fill(texts["like-title"], { name: row.name })),
      make("label", {}, `${texts["like-which"]} `, input), list,
      make("div", { class: "buttons" }, make("button", { type: "button", onclick: () => dialog.close() }, texts.cancel),
        make("button", { class: "primary" }, texts["like-activate"])));
    const dialog = make("dialog", { class: "like", "aria-labelledby": "like-title" }, form);
    form.addEventListener("submit", () => this.act("/matrix/like", { endpoint: row.slug, like: input.value }));
    offerEndpoints(input);
    showDialog(dialog);
    input.focus();
  }
}
