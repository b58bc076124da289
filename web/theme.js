// Before the first paint: the colours chosen earlier, if any. Not a module, since modules wait.
{
  let theme = null;
  try {
    theme = localStorage.getItem("theme");
  } catch {
    // storage may be forbidden
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
