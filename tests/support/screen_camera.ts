import type { Page } from "playwright-core";
import { assert, assertEquals } from "./assert.ts";
import { findBarriers, takeScreenshot, type TestBrowser, VIEWPORTS, type WatchedPage } from "./browser.ts";

/** The four forms in which every screen is looked at. */
export const FORMS = (["phone", "desk"] as const).flatMap((viewport) =>
  [false, true].map((isDark) => ({ viewport, isDark, name: `${viewport}${isDark ? "-dark" : ""}` }))
);

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
      // The contrast is that of the phone.
      if (form.viewport === "desk" && form.isDark) return;
      assertEquals(await findBarriers(page), [], `${name}, ${form.name}`);
    },
  };
}
