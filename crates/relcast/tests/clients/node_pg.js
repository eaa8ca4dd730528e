// node-postgres against `relcast serve` over the small shop. Usage: node node_pg.js PORT
const assert = require("node:assert/strict");
const { setTimeout: sleep } = require("node:timers/promises");
const { Client, Pool, Query } = require("pg");

const QUERY = "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id";
const settings = { host: "127.0.0.1", port: Number(process.argv[2]), user: "ana", database: "relcast" };

async function trains(client) {
    const told = [];
    client.on("notice", (notice) => told.push(notice.message));
    await client.query(`CREATE MODEL churn AS ${QUERY} WITH (epochs = 1)`);
    assert(told.some((line) => line.includes("epoch")), `${told}`);
    const { rows } = await client.query("SELECT model, version FROM relcast.models");
    // A bigint is a text to node-postgres.
    assert.deepEqual(rows, [{ model: "churn", version: "1" }]);
}

async function predictsAtParameters(client) {
    const at = (cutoff) =>
        `SELECT customer_id, CAST(cutoff AS VARCHAR) AS cutoff, probability FROM (PREDICT USING MODEL churn AS OF ${cutoff}) p ORDER BY customer_id`;
    const seen = [];
    for (const cutoff of ["2021-03-31 00:00:00", "2021-09-30 12:00:00"]) {
        const literal = await client.query(at(`'${cutoff}'`));
        const moment = new Date(`${cutoff.replace(" ", "T")}Z`);
        for (const value of [cutoff, moment]) {
            // With a name it is prepared once and used again.
            for (const name of [undefined, "given", "given"]) {
                const given = await client.query({ name, text: at("$1"), values: [value] });
                assert.deepEqual(given.rows, literal.rows);
            }
        }
        assert.equal(literal.rowCount, 40);
        seen.push(literal.rows.map((row) => row.probability));
        assert(literal.rows.every((row) => typeof row.probability === "number"));
    }
    assert.notDeepEqual(seen[0], seen[1]);
    const one = await client.query("PREDICT USING MODEL churn FOR customers.customer_id = $1", [7]);
    assert.deepEqual(one.rows.map((row) => row.customer_id), ["7"]);
    assert(one.rows[0].cutoff instanceof Date);
}

async function writesAndJoins(client) {
    await client.query("CREATE TABLE leaving AS PREDICT USING MODEL churn");
    const inserted = await client.query("INSERT INTO leaving PREDICT USING MODEL churn AS OF $1", ["2021-03-31"]);
    assert.equal(inserted.rowCount, 40);
    const counted = await client.query("SELECT count(*) AS n FROM leaving");
    assert.deepEqual(counted.rows, [{ n: "80" }]);
    const joined = await client.query(
        "SELECT c.name FROM (PREDICT USING MODEL churn) p JOIN customers c USING (customer_id) WHERE c.customer_id = $1",
        [3],
    );
    assert.deepEqual(joined.rows, [{ name: "Customer 3" }]);
}

async function readsTheCatalog(client) {
    const links = await client.query(
        `SELECT c.oid, c.relnamespace, k.conname, k.conkey FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid
         WHERE c.relname = $1 AND k.contype = 'f'`,
        ["orders"],
    );
    assert.equal(links.rowCount, 1);
    const [{ oid, relnamespace, conname, conkey }] = links.rows;
    assert(Number.isInteger(oid) && Number.isInteger(relnamespace), `${oid} ${relnamespace}`);
    assert.deepEqual([conname, conkey], ["orders_customer_id_fkey", [2]]);
    const columns = await client.query(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'orders' ORDER BY ordinal_position LIMIT 1",
    );
    assert.deepEqual(columns.rows, [{ column_name: "order_id", data_type: "bigint" }]);
}

async function failsWell(client) {
    const wrong = "SELECT *\nFROM custmers";
    for (const query of [{ text: wrong }, { text: `${wrong} WHERE customer_id = $1`, values: [1] }]) {
        await assert.rejects(client.query(query), (error) => {
            assert.equal(error.code, "42P01");
            assert.equal(error.position, "15");
            assert.match(error.hint, /customers/);
            return true;
        });
    }
    assert.equal(Number((await client.query("SELECT 1 + 1 AS two")).rows[0].two), 2);
}

async function cancels(client) {
    const query = new Query(`CREATE MODEL endless AS ${QUERY} WITH (epochs = 10000, batch_size = 1)`);
    const ended = new Promise((resolve) => {
        query.on("error", resolve);
        query.on("end", () => resolve(undefined));
    });
    client.query(query);
    await sleep(3000);
    const asked = Date.now();
    new Client(settings).cancel(client, query);
    const error = await ended;
    assert.equal(error?.code, "57014", `${error}`);
    assert(Date.now() - asked < 3000);
    const { rows } = await client.query("SELECT model FROM relcast.models");
    assert.deepEqual(rows, [{ model: "churn" }]);
}

async function servesAPool() {
    const pool = new Pool({ ...settings, max: 4 });
    const keys = [...Array(20).keys()].map((key) => key + 1);
    const answers = await Promise.all(
        keys.map((key) => pool.query("PREDICT USING MODEL churn FOR customers.customer_id = $1", [key])),
    );
    assert.deepEqual(answers.map((answer) => Number(answer.rows[0].customer_id)), keys);
    await pool.end();
}

async function main() {
    const client = new Client(settings);
    await client.connect();
    await trains(client);
    await predictsAtParameters(client);
    await writesAndJoins(client);
    await readsTheCatalog(client);
    await failsWell(client);
    await servesAPool();
    await cancels(client);
    await client.end();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
