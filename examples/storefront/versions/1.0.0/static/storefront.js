"use strict";
const $ = (id) => document.getElementById(id);
const say = (text) => { $("message").textContent = text; };

async function call(method, path, body) {
  const answer = await fetch(path, { method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body) });
  const told = answer.status === 204 ? {} : await answer.json();
  if (!answer.ok) throw new Error(told.error || answer.statusText);
  return told;
}

function element(name, text, action) {
  const made = document.createElement(name);
  made.textContent = text;
  if (action) made.addEventListener("click", () => action().catch((error) => say(error.message)));
  return made;
}

function list(products) {
  $("product").hidden = true;
  $("products").replaceChildren(...products.map((product) => {
    const item = element("li", "");
    const price = element("span", product.price);
    price.className = "price";
    item.append(element("button", product.name, () => show(product.sku)), price);
    return item;
  }));
}

async function show(sku) {
  const { product } = await call("GET", `/api/products/${sku}`);
  const checkout = await call("GET", `/api/checkout?sku=${sku}`);
  const order = () => call("POST", "/api/orders", { reference: Date.now() * 1000 + Math.floor(Math.random() * 1000), sku, quantity: 1 })
    .then((told) => say(`Order ${told.order.reference} is placed.`));
  $("product").replaceChildren(element("h2", product.name), element("p", product.description), element("p", product.price),
    element("p", `Steps to order: ${checkout.steps.join(", ")}`), element("button", "Order", order));
  $("product").hidden = false;
}

function signedIn({ account }) {
  localStorage.setItem("signed-in", "yes");
  $("session").reset();
  $("session").hidden = true;
  $("account").hidden = false;
  $("account").replaceChildren(element("span", `${account.name} `),
    element("button", "Sign out", () => call("DELETE", "/api/session").then(() => { localStorage.clear(); location.reload(); })));
}

function onSubmit(form, action) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    action(Object.fromEntries(new FormData(form))).catch((error) => say(error.message));
  });
}

onSubmit($("search"), async ({ q }) => list((await call("GET", q ? `/api/search?q=${encodeURIComponent(q)}` : "/api/products")).products));
onSubmit($("session"), async (fields) => signedIn(await call("POST", "/api/session", fields)));
call("GET", "/api/products").then((told) => list(told.products)).catch((error) => say(error.message));
// Only who signed in here is asked for: a stranger would be told 401 with each page.
if (localStorage.getItem("signed-in")) call("GET", "/api/account").then(signedIn).catch(() => localStorage.clear());
