// Colours, font and colour mode of Airflow, read from its document. In the head and not a module: it runs before anything
// is drawn. Where Airflow's document cannot be read, frame.css has values of its own.
(() => {
  const TOKENS = [
    "colors-bg", "colors-bg-subtle", "colors-bg-muted", "colors-fg", "colors-fg-muted", "colors-border",
    "colors-brand-solid", "colors-brand-contrast", "colors-success-solid", "colors-failed-solid", "fonts-body",
  ];
  const root = document.documentElement;

  function airflow() {
    try {
      return parent !== window && parent.document.documentElement ? parent : null;
    } catch {
      return null; // another origin
    }
  }

  function apply() {
    const frame = airflow();
    const classes = frame?.document.documentElement.classList;
    const dark = classes ? classes.contains("dark") : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.mode = dark ? "dark" : "light";
    if (!frame) return;
    const style = frame.getComputedStyle(frame.document.documentElement);
    for (const token of TOKENS) {
      const value = style.getPropertyValue(`--chakra-${token}`).trim();
      if (value) root.style.setProperty(`--airflow-${token}`, value);
    }
  }

  apply();
  const frame = airflow();
  if (frame) {
    const options = { attributes: true, attributeFilter: ["class", "style"] };
    const observer = new frame.MutationObserver(apply);
    observer.observe(frame.document.documentElement, options);
    addEventListener("pagehide", () => observer.disconnect());
  } else {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  }
})();
