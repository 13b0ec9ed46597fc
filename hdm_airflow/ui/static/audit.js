// Undo of a bulk change, on the page of its cells.
import { say, sayError } from "./messages.js";
import { post } from "./request.js";

const button = document.getElementById("undo");
const dialog = document.getElementById("undoing");

button?.addEventListener("click", () => {
  if (button.getAttribute("aria-disabled") === "true") say(button.title);
  else dialog.showModal();
});
if (button) button.hidden = false; // it does nothing before
dialog?.addEventListener("close", async () => {
  if (dialog.returnValue !== "yes") return;
  dialog.returnValue = "";
  try {
    const { said } = await post(button.dataset.address, { batch: Number(button.dataset.batch) });
    say(said);
  } catch (error) {
    sayError(error);
  }
});
