// Turn each table that does not fit its place into a list of cards, one per row.
function stackTables() {
  for (const table of document.querySelectorAll(".bd-article table")) {
    table.classList.remove("stacked");
    const place = table.parentElement.clientWidth;
    const cut = [...table.querySelectorAll("td, th")].some((cell) => cell.scrollWidth > cell.clientWidth + 1);
    if (table.scrollWidth <= place + 1 && table.offsetWidth <= place + 1 && !cut) continue;
    const heads = [...table.querySelectorAll("thead tr:last-child > *")].map((cell) => cell.innerText.trim());
    for (const row of table.querySelectorAll("tbody tr"))
      [...row.children].forEach((cell, column) => (cell.dataset.label = heads[column] ?? ""));
    table.classList.add("stacked");
  }
}
window.addEventListener("load", stackTables);
window.addEventListener("resize", stackTables);
