// An input that offers endpoints while somebody types: the server finds them, since there may be thousands.
import { get } from "./request.js";

const PAUSE = 150; // ms

/** Let an input with a list and `data-endpoints`, the address that finds them, offer endpoints. */
export function offerEndpoints(input) {
  let timer;
  let newest = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(offer, PAUSE);
  });
  input.addEventListener("focus", offer, { once: true });

  async function offer() {
    const number = (newest += 1);
    const address = new URL(input.dataset.endpoints, location.href);
    address.searchParams.set("text", input.value);
    let found;
    try {
      found = await get(address);
    } catch {
      return; // a help; the form says what is wrong
    }
    if (number !== newest) return;
    input.list.replaceChildren(
      ...found.endpoints.map(({ slug, name }) => {
        const option = document.createElement("option");
        option.value = slug;
        option.label = name;
        return option;
      }),
    );
  }
}

for (const input of document.querySelectorAll("input[data-endpoints]")) offerEndpoints(input);
