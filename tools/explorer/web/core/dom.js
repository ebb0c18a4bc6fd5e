// Builds elements. Text enters the page as text nodes only, so nothing that members wrote is ever
// read as markup.

/** Return an element: h("a", {href: "/", class: "x", onclick: f}, "text", child, …). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  decorate(element, attributes, children);
  return element;
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  decorate(element, attributes, children);
  return element;
}

function decorate(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
}

/** Add children: nodes, texts, numbers, arrays of these; nothing for null and false. */
function append(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(element, child);
    else element.append(child instanceof Node ? child : String(child));
  }
}

/** Put other children into an element. */
export function refill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Add children to an element; unlike the browser's own `append` it leaves out null and false. */
export const add = (element, ...children) => append(element, children);
