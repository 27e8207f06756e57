import { z } from "zod";

// Zod tries `new Function` when it builds a schema of an object. A page whose Content-Security-Policy has no
// 'unsafe-eval' refuses and reports a violation, though nothing comes of it; our two schemas gain nothing from compiled
// checks. The setting holds for all of Zod 4 on the page, as Zod keeps it in one place. package.json lists this file
// under "sideEffects", since bundlers would drop a module that exports nothing.
z.config({ jitless: true });
