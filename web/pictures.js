// Pictures: those a person adds, and those the model draws.
import { byId, make } from "./dom.js";

const READ_BY_SERVER = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"];
const LARGEST_FILE = 8 << 20; // larger ones are made smaller here: the model looks at a few hundred pixels a side
const LARGEST_SIDE = 2048;

const readAsUrl = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

function redraw(picture) {
  const width = picture.naturalWidth || 512; // an SVG may have no size
  const height = picture.naturalHeight || 512;
  const scale = Math.min(1, LARGEST_SIDE / Math.max(width, height));
  const canvas = make("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92);
}

/** {name, url}: a data: URL that the server reads. Throws an Error in words. */
export async function readPicture(file) {
  const name = file.name || "pasted picture";
  const picture = make("img", { src: URL.createObjectURL(file) });
  try {
    await picture.decode();
    const asIs = READ_BY_SERVER.includes(file.type) && file.size <= LARGEST_FILE;
    return { name, url: asIs ? await readAsUrl(file) : redraw(picture) };
  } catch {
    throw new Error(`“${name}” is not a picture that this browser can read.`);
  } finally {
    URL.revokeObjectURL(picture.src);
  }
}

/** The picture files of a drop or a paste. */
export const pictureFiles = (transfer) => [...(transfer?.files ?? [])].filter((file) => file.type.startsWith("image/"));

const fileName = (text, ending) => `${text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 48).replace(/^-|-$/g, "") || "picture"}.${ending}`;

const endingOf = (url) => /^data:image\/(\w+)/.exec(url)?.[1] ?? "png";

export function enlarge(url, label, title) {
  byId("enlarged-picture").src = url;
  byId("enlarged-picture").alt = title;
  byId("enlarged-label").textContent = label;
  byId("enlarged-save").href = url;
  byId("enlarged-save").download = fileName(title, endingOf(url));
  byId("enlarged").showModal();
}

export function prepareEnlarging() {
  const dialog = byId("enlarged");
  byId("enlarged-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.tagName === "IMG") dialog.close();
  });
  dialog.addEventListener("close", () => byId("enlarged-picture").removeAttribute("src"));
}

/** A small picture in a message of one's own. */
export function thumbnail({ name, url }) {
  return make("button", { type: "button", class: "thumb", "aria-label": `Enlarge ${name}`, onclick: () => enlarge(url, name, name) },
    make("img", { src: url, alt: name }));
}

const N_SCALES = 10; // until the server says

/** One square a scale, growing as the scales do; the finished ones are filled. */
function createLadder() {
  const node = make("span", { class: "ladder", "aria-hidden": "true" });
  const show = (done, scales) => {
    while (node.children.length > scales) node.lastChild.remove();
    while (node.children.length < scales) node.append(make("i"));
    [...node.children].forEach((step, i) => {
      step.style.setProperty("--k", i / Math.max(1, scales - 1));
      step.className = i < done ? "done" : i === done ? "next" : "";
    });
  };
  show(0, N_SCALES);
  return { node, show };
}

/**
 * A picture being drawn: {node, preview(url, scale, scales), finish(url, label), giveUp(reason)}. Each scale fades in over the one before.
 * title: what it shows, as far as is known.
 */
export function createPicture(title) {
  const ladder = createLadder();
  const words = make("span", {}, "drawing");
  const save = make("a", { class: "save", hidden: true }, "Save");
  const frame = make("button", { type: "button", class: "frame", disabled: true, "aria-label": `Being drawn: ${title}` });
  const node = make("figure", { class: "picture drawing", "aria-busy": "true" }, frame, make("figcaption", {}, ladder.node, words, save));
  let shown = null;
  let label = "";
  frame.addEventListener("click", () => enlarge(shown, label, title));

  function show(url) {
    const picture = make("img", { src: url, alt: title });
    shown = url;
    frame.append(picture);
    // those beneath go when this one covers them
    const settle = () => {
      while (frame.firstChild !== picture && frame.contains(picture)) frame.firstChild.remove();
    };
    picture.addEventListener("animationend", settle);
    picture.addEventListener("load", () => setTimeout(settle, 1000));
  }

  function end() {
    node.classList.remove("drawing");
    node.removeAttribute("aria-busy");
    ladder.node.remove();
  }

  return {
    node,
    preview(url, scale, scales) {
      show(url);
      ladder.show(scale + 1, scales || N_SCALES);
      node.dataset.scale = scale + 1;
      words.textContent = `scale ${scale + 1} of ${scales || N_SCALES}`;
    },
    finish(url, text) {
      show(url);
      end();
      label = text;
      words.textContent = text;
      frame.disabled = false;
      frame.setAttribute("aria-label", `Enlarge: ${title}`);
      save.href = url;
      save.download = fileName(title, endingOf(url));
      save.hidden = false;
    },
    giveUp(reason) {
      if (!node.hasAttribute("aria-busy")) return;
      end();
      node.classList.add("unfinished");
      words.textContent = reason;
    },
  };
}
