// Drives the shop and the counter in a headless Chromium as a visitor would, checks what they show, and
// takes pictures. `scripts/screenshots` calls it.
//
//     node screenshots.mjs <chromium> <playwright-core> <folder> <shop's address> <its password> <counter's address>
import { createRequire } from "node:module";
import { join } from "node:path";

const [chromium, playwright, folder, shop, adminPassword, counter] = process.argv.slice(2);
const { chromium: launcher } = createRequire(import.meta.url)(playwright);
const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

const browser = await launcher.launch({
  executablePath: chromium,
  args: ["--no-sandbox", "--force-color-profile=srgb"],
});
let failures = 0;
try {
  for (const [size, viewport] of Object.entries(SIZES)) {
    await visitShop(size, viewport);
    await visitCounter(size, viewport);
  }
} finally {
  await browser.close();
}
process.exit(failures === 0 ? 0 : 1);

async function visitShop(size, viewport) {
  const { context, page, picture } = await open(size, viewport, "shop");
  await page.goto(shop);
  await picture("home");

  // Two tabs put one of each into the cart, at the same time.
  await page.click("#one-of-each");
  await page.waitForFunction(() => document.querySelector("#items").textContent === "6");
  const second = await context.newPage();
  await second.goto(shop);
  await Promise.all([page.click("#one-of-each"), second.click("#one-of-each")]);
  await page.waitForLoadState("networkidle");
  await second.waitForLoadState("networkidle");
  await second.close();
  await page.goto(`${shop}/cart`);
  expect("the cart after parallel requests", await page.textContent("#items"), "18");
  await picture("cart");

  await page.goto(`${shop}/login`);
  await picture("login");
  await page.goto(`${shop}/register`);
  await page.fill("#name", size === "phone" ? "grace" : "ada");
  await page.fill("#password", "a long enough one");
  await page.click("main button");
  await page.waitForSelector(".notice");
  expect("the cart after the login", await page.textContent("#items"), "18");

  // Another browser of the same user.
  const other = await browser.newContext({ userAgent: "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0" });
  const elsewhere = await other.newPage();
  await elsewhere.goto(`${shop}/login`);
  await elsewhere.fill("#name", size === "phone" ? "grace" : "ada");
  await elsewhere.fill("#password", "a long enough one");
  await elsewhere.click("main button");
  await page.goto(`${shop}/devices`);
  expect("devices", await page.locator(".devices li").count(), 2);
  await picture("devices");
  await page.click("text=Log out everywhere");
  await elsewhere.goto(`${shop}/devices`);
  expect("the other browser", new URL(elsewhere.url()).pathname, "/login");
  await other.close();

  await page.goto(`${shop}/login?next=/admin`);
  await page.fill("#name", "admin");
  await page.fill("#password", adminPassword);
  await page.click("main button");
  await page.waitForURL("**/admin/login?next=**");
  await page.fill("#password", adminPassword);
  await page.click("main button");
  await page.waitForURL("**/admin");
  await picture("admin");
  await context.close();
}

async function visitCounter(size, viewport) {
  const { context, page, picture } = await open(size, viewport, "counter");
  await page.goto(counter);
  await page.goto(counter);
  await page.fill("#user", "Ada");
  await page.click("text=Log in");
  expect("the count", await page.textContent(".views"), "3");
  await picture("page");
  await page.goto(`${counter}/cart`);
  for (const [item, quantity] of [["Tea", "2"], ["Milk", "1"], ["A rather long name of something that is sold", "12"]]) {
    await page.fill("#item", item);
    await page.fill("#quantity", quantity);
    await page.click("text=Put in");
  }
  await picture("cart");
  await context.close();
}

async function open(size, viewport, name) {
  const context = await browser.newContext({ viewport, colorScheme: "light", deviceScaleFactor: 1 });
  const page = await context.newPage();
  page.on("console", (message) => {
    // A page that breaks its own Content-Security-Policy says so here.
    if (["error", "warning"].includes(message.type())) expect(`the console of ${name}`, message.text(), "");
  });
  page.on("pageerror", (error) => expect(`the script of ${name}`, error.message, ""));
  const picture = async (what) => {
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(`the overflow of ${name} ${what} on a ${size}`, Math.max(overflow, 0), 0);
    await page.screenshot({ path: join(folder, `${name}-${what}-${size}.png`) });
  };
  return { context, page, picture };
}

function expect(what, found, expected) {
  if (found === expected) return;
  failures += 1;
  console.error(`${what}: ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
}
