// The first page: its buttons run packs again; the other environments answer one by one.
import { sayError } from "./messages.js";
import { get } from "./request.js";
import { runNow } from "./run_now.js";

async function run(button) {
  const { packs, endpoints, ask } = button.dataset;
  try {
    const where = ask ? (await get(ask)).endpoints : JSON.parse(endpoints);
    await runNow({ packs: JSON.parse(packs), endpoints: where });
  } catch (error) {
    sayError(error);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-packs]");
  if (button && button.getAttribute("aria-disabled") !== "true") run(button);
});
