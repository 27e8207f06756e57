import * as florence from "../../src/web/web.ts";

// The script of the test's page: the test calls `florence` there.
Object.assign(globalThis, { florence });
