export async function ledgerReport(_path: string): Promise<{ html: string; scores: number; warnings: string[] }> { throw new Error("todo"); }
