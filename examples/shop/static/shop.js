// Puts things into the cart without leaving the page. Without this file, the forms do the same.
const count = document.querySelector("#items");
const failed = document.querySelector("#failed");
const oneOfEach = document.querySelector("#one-of-each");
const forms = [...document.querySelectorAll("form[data-add]")];

async function add(form) {
  const response = await fetch(form.action, {
    method: "POST",
    headers: { Accept: "application/json" },
    body: new URLSearchParams(new FormData(form)),
  });
  if (!response.ok) throw new Error(response.statusText);
  const { items } = await response.json();
  // Answers may come in another order than the requests went.
  count.textContent = Math.max(items, Number(count.textContent));
}

async function trying(work) {
  try {
    await work();
    failed.hidden = true;
  } catch {
    failed.hidden = false;
  }
}

for (const form of forms) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    trying(() => add(form));
  });
}

if (oneOfEach) {
  oneOfEach.hidden = false;
  oneOfEach.addEventListener("click", () =>
    trying(async () => {
      // The first may begin the session. The others use it, all at once.
      const [first, ...others] = forms;
      await add(first);
      await Promise.all(others.map(add));
    }),
  );
}
