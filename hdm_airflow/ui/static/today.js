// The first page: runs again what failed, and asks how other environments are, each by itself.
import { get } from "./request.js";
import { runNow } from "./run_now.js";

for (const button of document.querySelectorAll("button.run")) {
  const { packs, endpoints } = button.dataset;
  button.addEventListener("click", () => runNow({ packs: JSON.parse(packs), endpoints: JSON.parse(endpoints) }));
}

async function ask(place) {
  try {
    const { well, said } = await get(place.dataset.line);
    place.textContent = said;
    place.classList.add("status", well ? "success" : "partial");
  } catch (error) {
    place.textContent = error.what;
    place.classList.add("status", "failed");
  }
}

for (const place of document.querySelectorAll("[data-line]")) ask(place);
