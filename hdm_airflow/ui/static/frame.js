// What every page does: Airflow's language and time zone, links to Airflow, the choice of the environment.
import { followLinks } from "./links.js";
import { showTimes } from "./times.js";

function language() {
  let wanted;
  try {
    wanted = parent.localStorage.getItem("i18nextLng");
  } catch {
    return; // another origin, or no storage
  }
  if (!wanted) return;
  const cookie = `hdm_language=${encodeURIComponent(wanted)}`;
  if (document.cookie.split("; ").includes(cookie)) return;
  const { root } = document.documentElement.dataset;
  document.cookie = `${cookie}; path=${root || "/"}; samesite=lax; max-age=31536000`;
  const kept = document.cookie.split("; ").includes(cookie);
  if (kept && !wanted.startsWith(document.documentElement.lang)) location.reload();
}

function environment() {
  const choice = document.getElementById("environment");
  choice?.addEventListener("change", () => location.assign(choice.selectedOptions[0].dataset.address));
}

language();
environment();
followLinks(document);
showTimes(document);
addEventListener("storage", (event) => event.key === "i18nextLng" && language());
