// A form of filters: what is empty stays out of the address, and what is chosen counts at once.
for (const form of document.querySelectorAll("form.filters")) {
  form.addEventListener("submit", () => {
    for (const one of form.elements) if (one.name && one.value === "") one.disabled = true;
    setTimeout(() => [...form.elements].forEach((one) => (one.disabled = false)));
  });
  for (const one of form.querySelectorAll("select[data-submit], input[type=checkbox][data-submit]")) {
    one.addEventListener("change", () => form.requestSubmit());
  }
}
