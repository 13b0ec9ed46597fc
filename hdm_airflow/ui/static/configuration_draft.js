// A text that is not saved yet: this browser tab keeps it, since the sandbox of our frame lets nothing ask before it is left.
const PREFIX = "hdm draft ";
const PAUSE = 300; // ms

export class Draft {
  /** `key`: what it is a draft of; `actor`: whose it is; `take(draft)` uses it; `saved()` is the text that is stored. */
  constructor({ key, actor, take, saved }) {
    Object.assign(this, { key: PREFIX + key, actor, take, saved, isUnsaved: false });
    this.#forgetOthers();
    addEventListener("beforeunload", (event) => this.isUnsaved && event.preventDefault());
    addEventListener("pagehide", () => this.#write());
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[href]");
      if (!link || !this.isUnsaved || event.defaultPrevented || event.button !== 0) return;
      if (event.ctrlKey || event.metaKey || event.shiftKey || link.hasAttribute("data-airflow")) return;
      event.preventDefault();
      this.leave(link.href);
    });
  }

  /** Keep a text soon, or none if it is as it is stored. */
  keep(text, seen, isUnsaved) {
    this.isUnsaved = isUnsaved;
    this.waiting = { text, seen, actor: this.actor, at: new Date().toISOString() };
    clearTimeout(this.timer);
    if (!document.getElementById("draft").hidden && !isUnsaved) return; // the offer is still open
    this.timer = setTimeout(() => this.#write(), PAUSE);
  }

  /** Forget it. */
  drop() {
    clearTimeout(this.timer);
    this.isUnsaved = false;
    this.waiting = null;
    this.#store(null);
    document.getElementById("draft").hidden = true;
  }

  /** Offer the one of an earlier visit. */
  offer() {
    const found = this.#read(this.key);
    if (!found || found.text === this.saved()) return;
    clearTimeout(this.timer);
    const box = document.getElementById("draft");
    const time = box.querySelector("time");
    time.dateTime = found.at;
    time.textContent = new Date(found.at).toLocaleTimeString(document.documentElement.lang, { timeStyle: "short" });
    document.getElementById("draft-take").addEventListener("click", () => {
      box.hidden = true;
      this.take(found);
    });
    document.getElementById("draft-drop").addEventListener("click", () => this.drop());
    box.hidden = false;
  }

  /** Go to another page of ours; ask first if something is not saved. */
  leave(address) {
    if (!this.isUnsaved) {
      location.assign(address);
      return;
    }
    const dialog = document.getElementById("leaving");
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue === "yes") {
        this.#write();
        clearTimeout(this.timer);
        this.isUnsaved = false;
        this.waiting = null;
        location.assign(address);
        return;
      }
      const version = document.getElementById("version");
      if (version) version.selectedIndex = [...version.options].findIndex((one) => one.defaultSelected);
    };
    dialog.showModal();
  }

  #write() {
    if (!this.waiting) return;
    if (!document.getElementById("draft").hidden && !this.isUnsaved) return;
    this.#store(this.isUnsaved ? this.waiting : null);
  }

  #store(value) {
    try {
      if (value) sessionStorage.setItem(this.key, JSON.stringify(value));
      else sessionStorage.removeItem(this.key);
    } catch {
      // no storage, or it is full: the page still warns
    }
  }

  #read(key) {
    try {
      return JSON.parse(sessionStorage.getItem(key) ?? "null");
    } catch {
      return null;
    }
  }

  /** A tab may have had another user before. */
  #forgetOthers() {
    try {
      for (const key of Object.keys(sessionStorage)) {
        if (key.startsWith(PREFIX) && this.#read(key)?.actor !== this.actor) sessionStorage.removeItem(key);
      }
    } catch {
      // no storage
    }
  }
}
