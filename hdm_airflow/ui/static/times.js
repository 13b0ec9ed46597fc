// Times are shown in the time zone that the user has chosen in Airflow; the server sends them in UTC.
function zone() {
  try {
    return JSON.parse(parent.localStorage.getItem("timezone") ?? "null") || "UTC";
  } catch {
    return "UTC"; // another origin, or a value of another kind
  }
}

/** Write the text of every <time data-time> below an element. */
export function showTimes(root) {
  const language = document.documentElement.lang;
  let format;
  try {
    format = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", timeZone: zone() });
  } catch {
    return; // an unknown zone: the server's text stays
  }
  for (const one of root.querySelectorAll("time[data-time]")) {
    const moment = new Date(one.getAttribute("datetime"));
    if (!Number.isNaN(moment.valueOf())) one.textContent = format.format(moment);
  }
}
