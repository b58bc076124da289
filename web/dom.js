// Small helpers over the DOM. Text goes in as text; nothing here parses HTML.

export const byId = (id) => document.getElementById(id);

/** make("a", {class: "x", href: "#", onclick: f}, "text", node): an element. null and false children are left out. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
}

/** Shows a text in a node, or hides the node when there is none. */
export function say(node, text) {
  node.textContent = text;
  node.hidden = !text;
}

/** Told to those who listen to the page. */
export function announce(text) {
  byId("live").textContent = text;
}

/** Something kept in localStorage or sessionStorage; undefined where the browser forbids that. */
export function kept(storage, name, value) {
  try {
    if (value !== undefined) window[storage].setItem(name, value);
    return window[storage].getItem(name);
  } catch {
    return undefined;
  }
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // plain http on another machine: the old way
    const box = make("textarea", { class: "unseen" });
    box.value = text;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  }
}

/** A button that copies what text() gives and says so. */
export function copyButton(text, name = "Copy") {
  const button = make("button", { type: "button", onclick: onClick }, name);
  async function onClick() {
    button.textContent = (await copyText(text())) ? "Copied" : "Not copied";
    announce(button.textContent);
    setTimeout(() => (button.textContent = name), 1500);
  }
  return button;
}

/** As tall as its text, up to what the style sheet allows. */
export function growWithText(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

/** Esc belongs to whatever is open on top. */
export const isCovered = () => document.querySelector("dialog[open]") !== null;
