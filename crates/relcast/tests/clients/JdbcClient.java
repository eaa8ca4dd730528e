import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.postgresql.util.PSQLException;

/** JDBC against `relcast serve` over the small shop. Usage: java -cp postgresql.jar JdbcClient.java PORT */
public class JdbcClient {
    static final String QUERY = "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.customer_id";
    static final String AT =
            "SELECT customer_id, cutoff, probability FROM (PREDICT USING MODEL churn AS OF %s) p ORDER BY 1";

    interface Work {
        void run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/relcast?user=ana";
        try (Connection connection = DriverManager.getConnection(url)) {
            trains(connection);
            predictsAtParameters(connection);
            writesAndJoins(connection);
            readsTheCatalog(connection);
            readsTheKeys(connection);
            failsWell(connection);
            cancels(connection);
        }
    }

    static void trains(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE MODEL churn AS " + QUERY + " WITH (epochs = 1)");
        }
        same(List.of("churn 1"), rows(connection, "SELECT model, version FROM relcast.models"));
    }

    static void predictsAtParameters(Connection connection) throws SQLException {
        List<List<String>> seen = new ArrayList<>();
        for (String cutoff : List.of("2021-03-31 00:00:00", "2021-09-30 12:00:00")) {
            List<String> literal = rows(connection, AT.formatted("'" + cutoff + "'"));
            same(40, literal.size());
            Object[] moments = {Timestamp.valueOf(cutoff), LocalDateTime.parse(cutoff.replace(' ', 'T'))};
            for (Object moment : moments) {
                try (PreparedStatement given = connection.prepareStatement(AT.formatted("?"))) {
                    // From the fifth time on the driver names the statement and asks for binary cells.
                    for (int time = 0; time < 8; time++) {
                        if (moment instanceof Timestamp timestamp) {
                            given.setTimestamp(1, timestamp);
                        } else {
                            given.setObject(1, moment);
                        }
                        List<String> rows = rows(given.executeQuery());
                        same(literal, rows);
                    }
                }
            }
            same(true, literal.get(0).contains(cutoff));
            seen.add(literal);
        }
        same(false, seen.get(0).equals(seen.get(1)));
        String one = "PREDICT USING MODEL churn FOR customers.customer_id = ?";
        try (PreparedStatement given = connection.prepareStatement(one)) {
            for (long key = 1; key <= 8; key++) {
                given.setLong(1, key);
                ResultSet row = given.executeQuery();
                same(true, row.next());
                same(key, row.getLong("customer_id"));
                same(true, row.getTimestamp("cutoff") != null && row.getDouble("probability") > 0);
            }
        }
    }

    static void writesAndJoins(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE leaving AS PREDICT USING MODEL churn");
            same(40, statement.executeUpdate("INSERT INTO leaving PREDICT USING MODEL churn AS OF '2021-03-31'"));
        }
        same(List.of("80"), rows(connection, "SELECT count(*) FROM leaving"));
        String join = "SELECT c.name FROM (PREDICT USING MODEL churn) p JOIN customers c USING (customer_id) WHERE c.customer_id = ?";
        try (PreparedStatement given = connection.prepareStatement(join)) {
            given.setInt(1, 3);
            same(List.of("Customer 3"), rows(given.executeQuery()));
        }
        connection.setAutoCommit(false);
        same(List.of("2"), rows(connection, "SELECT 1 + 1"));
        connection.commit();
        connection.setAutoCommit(true);
    }

    static void readsTheCatalog(Connection connection) throws SQLException {
        Set<String> tables = new TreeSet<>();
        ResultSet found = connection.getMetaData().getTables(null, null, "%", new String[] {"TABLE"});
        while (found.next()) {
            tables.add(found.getString("TABLE_NAME"));
        }
        same(true, tables.containsAll(List.of("customers", "orders", "leaving")));
        List<String> columns = new ArrayList<>();
        found = connection.getMetaData().getColumns(null, null, "customers", "%");
        while (found.next()) {
            columns.add(found.getString("COLUMN_NAME") + " " + found.getString("TYPE_NAME"));
        }
        same(List.of("customer_id int8", "name text", "signed_up timestamp"), columns);
    }

    static void readsTheKeys(Connection connection) throws SQLException {
        DatabaseMetaData told = connection.getMetaData();
        for (String schema : new String[] {null, "public"}) {
            same(List.of("order_id 1 orders_pkey"),
                    cells(told.getPrimaryKeys(null, schema, "orders"), "COLUMN_NAME", "KEY_SEQ", "PK_NAME"));
            List<String> link = List.of("customers customer_id orders customer_id 1 orders_customer_id_fkey customers_pkey");
            String[] of = {"PKTABLE_NAME", "PKCOLUMN_NAME", "FKTABLE_NAME", "FKCOLUMN_NAME", "KEY_SEQ", "FK_NAME", "PK_NAME"};
            same(link, cells(told.getImportedKeys(null, schema, "orders"), of));
            same(link, cells(told.getExportedKeys(null, schema, "customers"), of));
            same(List.of(), cells(told.getImportedKeys(null, schema, "customers"), of));
            same(List.of("orders_pkey order_id false"),
                    cells(told.getIndexInfo(null, schema, "orders", true, true), "INDEX_NAME", "COLUMN_NAME", "NON_UNIQUE"));
        }
        same(List.of("order_id int8"), cells(told.getBestRowIdentifier(null, null, "orders", 0, true), "COLUMN_NAME", "TYPE_NAME"));
        same(true, cells(told.getTypeInfo(), "TYPE_NAME").containsAll(List.of("bool", "float8", "int8", "text", "timestamp")));
        same(true, cells(told.getSchemas(), "TABLE_SCHEM").containsAll(List.of("information_schema", "public", "relcast")));
        same(List.of(), cells(told.getProcedures(null, null, "%"), "PROCEDURE_NAME"));
        same(true, cells(told.getFunctions(null, null, "abs"), "FUNCTION_NAME").contains("abs"));
        same(true, cells(told.getUDTs(null, null, "%", null), "TYPE_NAME") != null);
        same(true, cells(told.getTablePrivileges(null, null, "orders"), "PRIVILEGE").contains("SELECT"));
        same(List.of("orders_pkey", "orders"), cells(told.getTables(null, "public", "orders%", null), "TABLE_NAME"));
    }

    /** Each row as some of its cells with spaces between. */
    static List<String> cells(ResultSet found, String... columns) throws SQLException {
        List<String> rows = new ArrayList<>();
        while (found.next()) {
            List<String> cells = new ArrayList<>();
            for (String column : columns) {
                cells.add(String.valueOf(found.getObject(column)));
            }
            rows.add(String.join(" ", cells));
        }
        return rows;
    }

    static void failsWell(Connection connection) throws SQLException {
        String wrong = "SELECT *\nFROM custmers";
        try (PreparedStatement given = connection.prepareStatement(wrong + " WHERE customer_id = ?")) {
            given.setLong(1, 1);
            for (Work work : new Work[] {() -> rows(connection, wrong), () -> given.executeQuery()}) {
                PSQLException error = refused(work);
                same("42P01", error.getSQLState());
                same(15, error.getServerErrorMessage().getPosition());
                same(true, error.getServerErrorMessage().getHint().contains("customers"));
            }
        }
        same(List.of("2"), rows(connection, "SELECT 1 + 1"));
    }

    static void cancels(Connection connection) throws Exception {
        String endless = "CREATE MODEL endless AS " + QUERY + " WITH (epochs = 10000, batch_size = 1)";
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(2);
            same("57014", refused(() -> statement.execute(endless)).getSQLState());
            statement.setQueryTimeout(0);
            long[] asked = new long[1];
            Thread canceller = new Thread(() -> {
                try {
                    Thread.sleep(3000);
                    asked[0] = System.nanoTime();
                    statement.cancel();
                } catch (InterruptedException | SQLException error) {
                    throw new AssertionError(error);
                }
            });
            canceller.start();
            same("57014", refused(() -> statement.execute(endless)).getSQLState());
            same(true, System.nanoTime() - asked[0] < 3_000_000_000L);
            canceller.join();
        }
        same(List.of("churn"), rows(connection, "SELECT model FROM relcast.models"));
    }

    static PSQLException refused(Work work) throws SQLException {
        try {
            work.run();
        } catch (PSQLException error) {
            return error;
        } catch (Exception error) {
            throw new AssertionError(error);
        }
        throw new AssertionError("a statement that should fail ended well");
    }

    static List<String> rows(Connection connection, String sql) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            return rows(statement.executeQuery(sql));
        }
    }

    /** Each row as its cells with spaces between. */
    static List<String> rows(ResultSet found) throws SQLException {
        List<String> rows = new ArrayList<>();
        int width = found.getMetaData().getColumnCount();
        while (found.next()) {
            List<String> cells = new ArrayList<>();
            for (int column = 1; column <= width; column++) {
                cells.add(String.valueOf(found.getObject(column)));
            }
            rows.add(String.join(" ", cells));
        }
        return rows;
    }

    static void same(Object wanted, Object found) {
        if (!wanted.equals(found)) {
            throw new AssertionError("wanted " + wanted + ", found " + found);
        }
    }
}
