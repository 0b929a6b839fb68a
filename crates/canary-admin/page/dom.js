// Creates and updates elements. Data reaches the page only as text nodes and attributes, never as
// markup.

const SVG = "http://www.w3.org/2000/svg";

/// Creates an HTML element. Properties named `on..` are listeners, `text` is the text; the others are
/// attributes, where `null`, `undefined` and `false` mean "absent".
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/// Creates an SVG element.
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name === "text") setText(element, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else setAttribute(element, name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/// Sets or removes an attribute.
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/// Sets the text if it is different: a screen reader announces a live region whenever it is set.
export function setText(element, text) {
  const wanted = text ?? "";
  if (element.textContent !== wanted) element.textContent = wanted;
}

/// Sets a custom property. The content security policy forbids style attributes, but not this.
export function setVariable(element, name, value) {
  if (element.style.getPropertyValue(name) !== String(value))
    element.style.setProperty(name, value);
}

/// Shows or hides an element, and returns whether it is shown.
export function show(element, isShown) {
  element.hidden = !isShown;
  return isShown;
}

const partsByParent = new WeakMap();

/// Makes the children of `parent` match `items`. An item with the same key keeps its element, and
/// with it the focus and the state of its controls. `create` returns `{ element, update }`.
export function reconcile(parent, items, keyOf, create) {
  const parts = partsByParent.get(parent) ?? new Map();
  const kept = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const part = parts.get(key) ?? create(item);
    kept.set(key, part);
    part.update(item);
    // Moving an element would take its focus away, so only elements at the wrong place move.
    if (part.element === place) place = place.nextElementSibling;
    else parent.insertBefore(part.element, place);
  }
  for (const [key, part] of parts) if (!kept.has(key)) part.element.remove();
  partsByParent.set(parent, kept);
}

/// Creates a card with a heading, as a named region.
export function card(id, title, note, ...children) {
  const heading = h("h2", { id: `${id}-title` }, title, note ? " " : null, note ?? null);
  return h(
    "section",
    { class: "card", id, "aria-labelledby": `${id}-title` },
    heading,
    ...children,
  );
}
