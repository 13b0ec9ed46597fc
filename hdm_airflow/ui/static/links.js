// Links to Airflow's own pages. The sandbox of our frame blocks every ordinary way out of it; Airflow's router follows a
// change of its history, so that nothing is reloaded and Airflow's Back button returns here.

/** Whether our page is inside Airflow's. */
export function framed() {
  try {
    return parent !== window && Boolean(parent.document);
  } catch {
    return false; // another origin
  }
}

/** Open a page of Airflow. `path` is an address that the server has built, with the prefix of Airflow's base_url. */
export function openAirflow(path) {
  if (!framed()) {
    location.assign(path);
    return;
  }
  parent.history.pushState({}, "", path);
  parent.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}

/** Let clicks on links marked `data-airflow` open Airflow's pages, now and later. */
export function followLinks(root) {
  root.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-airflow]");
    if (!link || event.defaultPrevented || event.button !== 0) return;
    event.preventDefault();
    openAirflow(link.getAttribute("href"));
  });
}

/** Put an address of ours into the address bars, so that it can be reloaded and mailed, without loading anything. */
export function remember(address) {
  const path = new URL(address, location.href);
  history.replaceState(history.state, "", path);
  if (!framed()) return;
  const match = parent.location.pathname.match(/^(.*?\/plugin\/[^/]+)/);
  if (match) parent.history.replaceState(parent.history.state, "", match[1] + path.pathname + path.search);
}
