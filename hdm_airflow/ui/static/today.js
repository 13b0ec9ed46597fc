// The first page: its buttons run packs; the other environments answer one by one, so that a slow base stops nothing.
import { sayError } from "./messages.js";
import { get } from "./request.js";
import { runNow } from "./run_now.js";

async function run(button) {
  try {
    const wish = JSON.parse(button.dataset.wish);
    if (button.dataset.ask) Object.assign(wish, await get(button.dataset.ask));
    await runNow(wish);
  } catch (error) {
    sayError(error);
  }
}

/** Write the state of another environment beside its link. */
async function showLine(place) {
  const icon = document.createElement("span");
  icon.className = "icon";
  icon.setAttribute("aria-hidden", "true");
  place.textContent = "…";
  try {
    const { level, icon: sign, said } = await get(place.dataset.line);
    icon.classList.add(level);
    icon.textContent = sign;
    place.replaceChildren(icon, ` ${said}`);
  } catch (error) {
    icon.classList.add("bad");
    icon.textContent = "✕";
    place.replaceChildren(icon, ` ${error.what ?? error}`);
  }
}

async function showLines() {
  for (const place of document.querySelectorAll("[data-line]")) await showLine(place);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-wish]");
  if (button && button.getAttribute("aria-disabled") !== "true") run(button);
});
showLines();
