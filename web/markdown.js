// Light Markdown as DOM nodes: paragraphs, headings, lists, quotes, code, bold, italics. What a model writes enters as text only.
import { copyButton, make } from "./dom.js";

const LONGEST_INLINE = 5000; // characters of a block in which marks are looked for
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const FENCE = /^\s{0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/;
const HEADING = /^(#{1,6})\s+(.*)$/;
const RULE = /^\s{0,3}(?:-{3,}|\*{3,}|_{3,})\s*$/;

const begins = (line) => FENCE.test(line) || HEADING.test(line) || RULE.test(line) || ITEM.test(line) || line.startsWith(">");

/** [{kind, source, ...}]: the blocks of a text. Those before the last do not change when text is added. */
function blocksOf(text) {
  const lines = text.split("\n");
  const blocks = [];
  let i = 0;
  const takeWhile = (wanted) => {
    const from = i;
    while (i < lines.length && wanted(lines[i])) i++;
    return lines.slice(from, i);
  };
  while (i < lines.length) {
    const line = lines[i];
    const from = i;
    let match;
    let block;
    if (!line.trim()) {
      i++;
      continue;
    } else if ((match = FENCE.exec(line))) {
      const close = new RegExp(`^\\s{0,3}${match[1][0]}{${match[1].length},}\\s*$`);
      i++;
      const body = takeWhile((l) => !close.test(l));
      i++;
      block = { kind: "code", language: match[2], text: body.join("\n") };
    } else if ((match = HEADING.exec(line))) {
      i++;
      block = { kind: "heading", level: match[1].length, text: match[2].replace(/\s+#+\s*$/, "") };
    } else if (RULE.test(line)) {
      i++;
      block = { kind: "rule" };
    } else if (ITEM.test(line)) {
      block = { kind: "list", lines: takeWhile((l) => ITEM.test(l) || /^\s+\S/.test(l) || (!l.trim() && ITEM.test(lines[i + 1] ?? ""))) };
    } else if (line.startsWith(">")) {
      block = { kind: "quote", text: takeWhile((l) => l.startsWith(">")).map((l) => l.replace(/^> ?/, "")).join("\n") };
    } else {
      i++;
      block = { kind: "paragraph", text: [line, ...takeWhile((l) => l.trim() && !begins(l))].join("\n") };
    }
    block.source = lines.slice(from, i).join("\n");
    blocks.push(block);
  }
  return blocks;
}

const MARKS = /(`+)(?!`)([^]*?[^`])\1(?!`)|\*\*(?=\S)([^]*?\S)\*\*|\*(?=[^\s*])([^*]*?[^\s*])\*(?!\*)/g;

/** The nodes of a line of text. */
function inline(text) {
  if (text.length > LONGEST_INLINE) return [text];
  const nodes = [];
  let at = 0;
  for (const match of text.matchAll(MARKS)) {
    nodes.push(text.slice(at, match.index));
    if (match[2] !== undefined) nodes.push(make("code", {}, match[2]));
    else if (match[3] !== undefined) nodes.push(make("strong", {}, ...inline(match[3])));
    else nodes.push(make("em", {}, ...inline(match[4])));
    at = match.index + match[0].length;
  }
  nodes.push(text.slice(at));
  return nodes.filter((node) => node !== "");
}

/** Lists in lists by indentation. */
function listOf(lines) {
  const top = make("div");
  const open = [{ indent: -1, node: top }]; // the lists around, outermost first
  let item = null;
  for (const line of lines) {
    const match = ITEM.exec(line);
    if (!match) {
      if (line.trim()) item.append(" ", ...inline(line.trim()));
      continue;
    }
    const indent = match[1].replaceAll("\t", "    ").length;
    while (open.length > 2 && indent < open.at(-1).indent) open.pop();
    if (open.length === 1 || indent > open.at(-1).indent + 1) {
      const ordered = /\d/.test(match[2]);
      const list = make(ordered ? "ol" : "ul", ordered ? { start: parseInt(match[2], 10) } : {});
      (item ?? top).append(list);
      open.push({ indent, node: list });
    }
    item = make("li", { dir: "auto" }, ...inline(match[3]));
    open.at(-1).node.append(item);
  }
  return top.firstChild;
}

function codeOf(block) {
  return make(
    "div",
    { class: "code" },
    make("div", { class: "row" }, make("span", {}, block.language), copyButton(() => block.text)),
    make("pre", { tabindex: "0" }, make("code", {}, block.text)),
  );
}

function nodeOf(block) {
  switch (block.kind) {
    case "code":
      return codeOf(block);
    case "heading":
      return make(`h${Math.min(6, block.level + 2)}`, { dir: "auto" }, ...inline(block.text));
    case "rule":
      return make("hr");
    case "list":
      return listOf(block.lines);
    case "quote":
      return renderMarkdown(make("blockquote"), block.text);
    default:
      return make("p", { dir: "auto" }, ...inline(block.text));
  }
}

const sources = new WeakMap(); // node -> the text it shows

/** Makes a node show a text that may have grown: blocks that stayed the same keep their nodes. Returns the node. */
export function renderMarkdown(into, text) {
  const blocks = blocksOf(text);
  blocks.forEach((block, i) => {
    const old = into.children[i];
    if (old && sources.get(old) === block.source) return;
    const node = nodeOf(block);
    sources.set(node, block.source);
    if (old) old.replaceWith(node);
    else into.append(node);
  });
  while (into.children.length > blocks.length) into.lastChild.remove();
  return into;
}
