// The grid: only what is in sight is in the document, rows and columns; so it is as fast with 10,000 rows as with ten.
import { address, fill, make, refuse } from "./dom.js";

const ROW = 32; // pixels, as in matrix.css
const HEAD = 52;
const NAME = 230;
const PACK = 130;
const AHEAD = 4; // rows beyond the edges
const MOST = 900; // cells of packs in the document: a cell has up to four elements, and there are at most 5,000
const META = [["type", 84], ["host", 170], ["port", 56], ["user", 96], ["ssl", 48]];
const META_WIDTH = META.reduce((sum, [, width]) => sum + width, 0);

export class Grid {
  /** `texts`: of the page; `refusals`: why the person may not write or run, or ''. */
  constructor(element, store, { texts, refusals }) {
    Object.assign(this, { element, store, texts, refusals });
    this.focus = { place: -1, column: 0 }; // place -1 is the head; column -1 the name
    this.rowElements = new Map(); // place -> {element, first, last}
    this.canvas = make("div", { class: "canvas", role: "presentation" });
    this.head = make("div", { class: "row head", role: "row", "aria-rowindex": "1" });
    this.canvas.append(this.head);
    element.append(this.canvas);
    element.setAttribute("aria-rowcount", store.keys.length + 1);
    element.setAttribute("aria-colcount", store.columns.length + 1 + META.length);
    element.setAttribute("aria-readonly", String(Boolean(refusals.write)));
    this.canvas.style.setProperty("height", `${HEAD + store.keys.length * ROW}px`);
    this.canvas.style.setProperty("width", `${NAME + META_WIDTH + store.columns.length * PACK}px`);
    element.addEventListener("scroll", () => this.later());
    new ResizeObserver(() => this.later()).observe(element);
    store.addEventListener("change", () => this.draw({ again: true }));
    store.addEventListener("cell", ({ detail }) => this.drawCell(detail.place, detail.column));
    this.draw({ again: true });
  }

  later() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.draw();
    });
  }

  /** What is in sight: rows `top` to `bottom`, columns `left` to `right`, without what the focus adds. */
  sight() {
    const { scrollTop, scrollLeft, clientHeight, clientWidth } = this.element;
    const last = this.store.keys.length - 1;
    const lastColumn = this.store.columns.length - 1;
    const start = scrollLeft - META_WIDTH;
    const top = Math.max(0, Math.floor(scrollTop / ROW) - AHEAD);
    const bottom = Math.min(last, Math.ceil((scrollTop + clientHeight - HEAD) / ROW) + AHEAD);
    const left = Math.max(0, Math.floor(start / PACK));
    const right = Math.min(lastColumn, Math.ceil((start + clientWidth - NAME) / PACK));
    const columns = Math.max(1, Math.floor(MOST / (bottom - top + 1)));
    return { top, bottom, left, right: Math.min(right, left + columns - 1) };
  }

  draw({ again = false } = {}) {
    const sight = this.sight();
    const { top, bottom, left, right } = sight;
    const same = this.drawn && ["top", "bottom", "left", "right"].every((side) => this.drawn[side] === sight[side]);
    if (same && !again) return;
    const columnsMoved = again || !this.drawn || this.drawn.left !== left || this.drawn.right !== right;
    this.drawn = sight;
    if (columnsMoved) this.drawHead();
    for (const [place, element] of this.rowElements) {
      if ((place >= top && place <= bottom) || place === this.focus.place) {
        if (columnsMoved || !element.dataset.loaded) this.fillRow(element, place);
      } else {
        element.remove();
        this.rowElements.delete(place);
      }
    }
    for (let place = top; place <= bottom; place += 1) if (!this.rowElements.has(place)) this.addRow(place);
    this.store.want(top, bottom);
  }

  columnsInSight() {
    const { left, right } = this.drawn;
    const columns = [];
    for (let column = left; column <= right; column += 1) columns.push(column);
    const { column } = this.focus;
    if (column >= 0 && (column < left || column > right)) columns.push(column);
    return columns;
  }

  drawHead() {
    const { texts, store } = this;
    const cells = [make("div", { class: "name", role: "columnheader", "aria-colindex": "1" }, texts.name)];
    let x = NAME;
    META.forEach(([name, width], place) => {
      cells.push(this.placed(make("div", { class: "meta", role: "columnheader", "aria-colindex": place + 2 }, texts[name]), x, width));
      x += width;
    });
    for (const column of this.columnsInSight()) cells.push(this.headCell(column, store.columns[column]));
    this.replace(this.head, cells);
  }

  headCell(column, pack) {
    const { texts } = this;
    const note = pack.gone ? texts.gone : pack.quarantined ? texts.quarantined : pack.version;
    const why = pack.gone ? texts["gone-pack"] : pack.quarantined;
    const cell = make(
      "div",
      { class: pack.gone || pack.quarantined ? "pack bad" : "pack", role: "columnheader", title: why ? `${pack.task}: ${why}` : pack.task,
        "aria-colindex": column + 2 + META.length, "data-column": column, tabindex: this.tabindex(-1, column) },
      make("span", { class: "task" }, pack.task),
      make("span", { class: "note" }, note),
      make("a", { class: "wrench", tabindex: "-1", title: texts.configure, "aria-label": `${texts.configure}: ${pack.task}`,
        href: address("/configuration/edit", { kind: pack.kind, pack: pack.name }) }),
      make("button", { class: "menu", type: "button", tabindex: "-1", "aria-haspopup": "menu", "aria-label": fill(texts.menu, { name: pack.task }) }, "⋯"),
    );
    return this.placed(cell, NAME + META_WIDTH + column * PACK, PACK);
  }

  addRow(place) {
    const element = make("div", { class: "row", role: "row", "aria-rowindex": place + 2, "data-place": place });
    element.style.setProperty("top", `${HEAD + place * ROW}px`);
    this.fillRow(element, place);
    this.rowElements.set(place, element);
    this.canvas.append(element);
  }

  fillRow(element, place) {
    const row = this.store.rows.get(place);
    if (!row) {
      const name = make("div", { class: "name", role: "rowheader", "aria-colindex": "1", tabindex: this.tabindex(place, -1) }, "…");
      this.replace(element, [name, ...this.columnsInSight().map((column) => this.emptyCell(place, column))]);
      return;
    }
    element.dataset.loaded = "1";
    element.classList.toggle("gone", !row.registered);
    const cells = [this.nameCell(place, row)];
    let x = NAME;
    META.forEach(([name, width], number) => {
      const value = name === "ssl" ? this.texts[row.ssl ? "yes" : "no"] : row[name];
      cells.push(this.placed(make("div", { class: "meta", role: "gridcell", "aria-colindex": number + 2, title: value }, value), x, width));
      x += width;
    });
    for (const column of this.columnsInSight()) cells.push(this.cell(place, column, row));
    this.replace(element, cells);
  }

  nameCell(place, row) {
    const { texts } = this;
    const like = this.likeFor(place, row);
    return make(
      "div",
      { class: "name", role: "rowheader", "aria-colindex": "1", tabindex: this.tabindex(place, -1), title: row.registered ? row.slug : `${row.slug}: ${texts["gone-endpoint"]}` },
      make("span", { class: "task" }, row.name),
      row.registered ? null : make("span", { class: "note bad" }, texts.gone),
      like ? make("button", { class: "like", type: "button", tabindex: "-1", "data-like": like.slug, title: fill(texts["like-title"], { name: row.name }) },
        fill(texts["like-one"], { name: like.name })) : null,
      make("button", { class: "menu", type: "button", tabindex: "-1", "aria-haspopup": "menu", "aria-label": fill(texts.menu, { name: row.name }) }, "⋯"),
    );
  }

  /** The nearest loaded endpoint of the same type that has active packs, for one that has none. */
  likeFor(place, row) {
    if (this.refusals.write || !row.registered || row.bits.some((bits) => bits & 1)) return null;
    for (let distance = 1; distance <= this.store.block; distance += 1) {
      for (const other of [this.store.rows.get(place - distance), this.store.rows.get(place + distance)]) {
        if (other?.registered && other.type === row.type && other.bits.some((bits) => bits & 1)) return other;
      }
    }
    return null;
  }

  cell(place, column, row) {
    const { texts, refusals, store } = this;
    const pack = store.columns[column];
    const { active, configured, old, state } = store.cell(place, column);
    const names = { pack: pack.task, endpoint: row.name };
    const why = refusals.write || (active ? "" : this.whyNever(row, pack));
    const said = `${texts[state]}${old && state !== "none" ? `, ${texts.old}` : ""}`;
    const box = make("input", { type: "checkbox", tabindex: "-1", "aria-label": fill(texts.activate, names) });
    if (why) refuse(box, why);
    box.checked = active;
    const cell = make(
      "div",
      { class: "cell", role: "gridcell", "aria-colindex": column + 2 + META.length, "data-column": column, tabindex: this.tabindex(place, column) },
      box,
      make("button", { class: `state ${state}${old ? " old" : ""}`, type: "button", tabindex: "-1", title: said, "aria-label": `${texts.details}: ${said}` },
        state === "none" ? "" : texts[state]),
      make("a", { class: configured ? "wrench own" : "wrench", tabindex: "-1", title: texts[configured ? "configured" : "configure"],
        "aria-label": texts[configured ? "configured" : "configure"],
        href: address("/configuration/edit", { kind: pack.kind, pack: pack.name, endpoint: row.slug }) }),
    );
    return this.placed(cell, NAME + META_WIDTH + column * PACK, PACK);
  }

  /** Why a pack cannot be activated on an endpoint; '' if it can. */
  whyNever(row, pack) {
    const { texts } = this;
    if (pack.gone) return texts["gone-pack"];
    if (pack.quarantined) return texts["quarantined-pack"];
    return row.registered ? "" : texts["gone-endpoint"];
  }

  /** A cell that is still being fetched: it can have the focus. */
  emptyCell(place, column) {
    const cell = make("div", { class: "cell", role: "gridcell", "aria-colindex": column + 2 + META.length, "aria-label": this.texts.loading,
      "data-column": column, tabindex: this.tabindex(place, column) });
    return this.placed(cell, NAME + META_WIDTH + column * PACK, PACK);
  }

  drawCell(place, column) {
    const element = this.rowElements.get(place);
    const row = this.store.rows.get(place);
    const old = element?.querySelector(`.cell[data-column="${column}"]`);
    if (!old) return;
    const focused = old.contains(document.activeElement);
    const cell = this.cell(place, column, row);
    old.replaceWith(cell);
    if (focused) cell.focus({ preventScroll: true });
    const name = element.querySelector(".name");
    const hadFocus = name.contains(document.activeElement);
    const made = this.nameCell(place, row);
    name.replaceWith(made);
    if (hadFocus) made.focus({ preventScroll: true });
  }

  placed(cell, x, width) {
    cell.style.setProperty("left", `${x}px`);
    cell.style.setProperty("width", `${width}px`);
    return cell;
  }

  /** Replace the cells of a row; the focus stays in the same column. */
  replace(element, cells) {
    const focused = element.contains(document.activeElement) ? document.activeElement.closest("[aria-colindex]") : null;
    const index = focused?.getAttribute("aria-colindex");
    element.replaceChildren(...cells);
    if (index) element.querySelector(`[aria-colindex="${index}"]`)?.focus({ preventScroll: true });
  }

  tabindex(place, column) {
    return this.focus.place === place && this.focus.column === column ? "0" : "-1";
  }

  /** The place and column of an element in the grid; null outside of it. */
  where(element) {
    const row = element.closest(".row");
    const cell = element.closest("[aria-colindex]");
    if (!row || !cell || !this.element.contains(row)) return null;
    const place = row === this.head ? -1 : Number(row.dataset.place);
    return { place, column: cell.dataset.column === undefined ? -1 : Number(cell.dataset.column), cell };
  }

  find(place, column) {
    const row = place < 0 ? this.head : this.rowElements.get(place);
    return row?.querySelector(column < 0 ? ".name" : `[data-column="${column}"]`);
  }

  /** Move the focus to a cell, and scroll it into sight. */
  move(place, column) {
    this.find(this.focus.place, this.focus.column)?.setAttribute("tabindex", "-1");
    this.focus = { place, column };
    const { element } = this;
    if (place >= 0) {
      const y = place * ROW;
      const height = element.clientHeight - HEAD - ROW;
      if (y < element.scrollTop) element.scrollTop = y;
      else if (y > element.scrollTop + height) element.scrollTop = y - height;
    }
    if (column >= 0) {
      const x = META_WIDTH + column * PACK;
      const width = element.clientWidth - NAME - PACK;
      if (x < element.scrollLeft) element.scrollLeft = x;
      else if (x > element.scrollLeft + width) element.scrollLeft = x - width;
    }
    this.draw();
    let cell = this.find(place, column);
    if (!cell) {
      this.draw({ again: true });
      cell = this.find(place, column);
    }
    cell?.setAttribute("tabindex", "0");
    cell?.focus({ preventScroll: true });
  }

  get rowsPerPage() {
    return Math.max(1, Math.floor((this.element.clientHeight - HEAD) / ROW) - 1);
  }
}
