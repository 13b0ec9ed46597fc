// How two texts differ, line by line, with signs.
const MOST = 1500; // lines of each: the comparison takes the product of both

/** The lines of both texts: [{sign: "+" | "-" | " ", text}]. */
export function difference(old, now) {
  const [a, b] = [old.split("\n"), now.split("\n")];
  if (a.length > MOST || b.length > MOST) return [...signed("-", a), ...signed("+", b)];
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
  const found = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      found.push({ sign: " ", text: a[i] });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && longest[i + 1][j] >= longest[i][j + 1])) {
      found.push({ sign: "-", text: a[i] });
      i += 1;
    } else {
      found.push({ sign: "+", text: b[j] });
      j += 1;
    }
  }
  return found;
}

/** Show the lines of a difference in an element. */
export function showDifference(element, lines) {
  const kinds = { "+": "added", "-": "removed", " ": "same" };
  element.replaceChildren(
    ...lines.map(({ sign, text }) => {
      const line = document.createElement("span");
      line.className = kinds[sign];
      const mark = document.createElement("span");
      mark.className = "sign";
      mark.textContent = sign;
      line.append(mark, ` ${text}\n`);
      return line;
    }),
  );
}

const signed = (sign, lines) => lines.map((text) => ({ sign, text }));
