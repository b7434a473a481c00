// The scripts of a tfreg registry's pages: copying and searching. The pages work without them.
"use strict";

function copied(button, text) {
  button.textContent = text;
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

for (const block of document.querySelectorAll("pre")) {
  const code = block.querySelector("code") || block;
  const text = code.textContent;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "tf-copy";
  button.textContent = "Copy";
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.replace(/\n$/, ""));
      copied(button, "Copied");
    } catch {
      // The clipboard needs https: select the text, so that a key copies it.
      getSelection().selectAllChildren(code);
      copied(button, "Selected");
    }
  });
  // Beside the code, and not on it, however long its lines are.
  const box = document.createElement("div");
  box.className = "tf-code";
  block.replaceWith(box);
  box.append(block, button);
}

for (const input of document.querySelectorAll("input[data-filter]")) {
  const box = input.closest(".tf-filter");
  const said = box.querySelector("[role=status]");
  const list = document.getElementById(input.dataset.filter);
  if (!list) continue;
  const rows = [...list.querySelectorAll("tr, li")];
  box.hidden = false;
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      found += row.hidden ? 0 : 1;
    }
    said.textContent = words.length ? `${found} of ${rows.length}` : "";
  };
  input.addEventListener("input", filter);
  filter();
}
