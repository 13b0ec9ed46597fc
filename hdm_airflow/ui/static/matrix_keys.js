// The keys of a grid, as the ARIA practices describe them, and a letter for each act on a cell.

/** `acts`: toggle, configure, details, log, run, menu; each gets place and column. */
export function followKeys(grid, acts) {
  const { element, store } = grid;
  const lastRow = store.keys.length - 1;
  const lastColumn = store.columns.length - 1;
  const to = (place, column) =>
    grid.move(Math.min(lastRow, Math.max(-1, place)), Math.min(lastColumn, Math.max(-1, column)));

  function moved({ key, ctrlKey, metaKey }) {
    const { place, column } = grid.focus;
    const far = ctrlKey || metaKey;
    switch (key) {
      case "ArrowDown": return [far ? lastRow : place + 1, column];
      case "ArrowUp": return [far ? -1 : place - 1, column];
      case "ArrowRight": return [place, far ? lastColumn : column + 1];
      case "ArrowLeft": return [place, far ? -1 : column - 1];
      case "PageDown": return [place + grid.rowsPerPage, column];
      case "PageUp": return [Math.max(0, place - grid.rowsPerPage), column];
      case "Home": return [far ? 0 : place, far ? 0 : -1];
      case "End": return [far ? lastRow : place, lastColumn];
      default: return null;
    }
  }

  function acted({ key, shiftKey, ctrlKey, metaKey, altKey }) {
    const { place, column } = grid.focus;
    if (key === "ContextMenu" || (key === "F10" && shiftKey)) return acts.menu;
    if (ctrlKey || metaKey || altKey) return null;
    if (column < 0) return place >= 0 && [" ", "Enter"].includes(key) ? acts.menu : null;
    if (place < 0) return key === "Enter" ? acts.configure : key === " " ? acts.menu : null;
    return { " ": acts.toggle, Enter: acts.configure, d: acts.details, l: acts.log, r: acts.run }[key] ?? null;
  }

  element.addEventListener("keydown", (event) => {
    const at = grid.where(event.target);
    if (!at) return;
    const inside = event.target !== at.cell; // on a button or link in the cell
    if (inside && !["Escape"].includes(event.key) && !event.key.startsWith("Arrow")) return;
    const target = moved(event);
    if (target) {
      event.preventDefault();
      to(...target);
      return;
    }
    const act = inside ? null : acted(event);
    if (!act) return;
    event.preventDefault();
    if (grid.focus.place >= 0 && !store.rows.has(grid.focus.place)) return; // it is being fetched
    act(grid.focus.place, grid.focus.column);
  });

  element.addEventListener("focusin", (event) => {
    const at = grid.where(event.target);
    if (at && event.target === at.cell) grid.focus = { place: at.place, column: at.column };
  });
  const first = grid.find(-1, 0) ?? grid.find(0, -1);
  if (first) {
    first.setAttribute("tabindex", "0");
    grid.focus = { place: -1, column: 0 };
  }
}
