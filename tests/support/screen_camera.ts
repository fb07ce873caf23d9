import type { Page } from "playwright-core";
import { assert, assertEquals } from "./assert.ts";
import { findBarriers, takeScreenshot, type TestBrowser, VIEWPORTS, type WatchedPage } from "./browser.ts";

/** The forms in which every screen is looked at: both layouts, and both sets of colours. */
export const FORMS = [
  { viewport: "phone", isDark: false, name: "phone" },
  { viewport: "phone", isDark: true, name: "phone-dark" },
  { viewport: "desk", isDark: false, name: "desk" },
] as const;

/** A page in one of the forms, of which screens are examined and pictured. */
export interface ScreenCamera {
  readonly watched: WatchedPage;
  readonly page: Page;
  /** Opens a screen, such as `images`. */
  show(screen: string): Promise<void>;
  /** Waits until nothing loads; then takes a picture, and asserts that nothing is too wide and that axe-core is content. */
  take(name: string): Promise<void>;
}

/** Opens the page of a server, signed in if there is a token. */
export async function openCamera(
  browser: TestBrowser,
  form: typeof FORMS[number],
  { url, token }: { url: string; token?: string },
): Promise<ScreenCamera> {
  const watched = await browser.open(form);
  const { page } = watched;
  if (token !== undefined) await page.addInitScript(`sessionStorage.setItem("crpe-token", ${JSON.stringify(token)})`);
  await page.goto(url);
  return {
    watched,
    page,
    show: async (screen) => void await page.goto(`${url}/#/${screen}`),
    async take(name) {
      await page.locator("main section").first().waitFor();
      await page.locator("body:not(:has([aria-busy]))").waitFor();
      await takeScreenshot(page, `${name}-${form.name}`);
      const width = await page.evaluate<number>("document.documentElement.scrollWidth");
      assert(width <= VIEWPORTS[form.viewport].width, `${name} is ${width} pixels wide`);
      assertEquals(await findBarriers(page, form), [], `${name}, ${form.name}`);
    },
  };
}
