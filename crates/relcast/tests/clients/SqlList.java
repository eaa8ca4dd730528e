import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/** Runs statements over JDBC, all of them, and says which fail. Usage: java -cp postgresql.jar SqlList.java FILE PORT */
public class SqlList {
    public static void main(String[] arguments) throws Exception {
        String text = Files.readString(Path.of(arguments[0])).replaceAll("(?m)^--.*$", "");
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[1] + "/relcast?user=ana";
        List<String> failed = new ArrayList<>();
        try (Connection connection = DriverManager.getConnection(url)) {
            for (String sql : text.split(";\\s*\n")) {
                if (!sql.isBlank()) {
                    try {
                        System.out.println(read(connection, sql.strip()));
                    } catch (SQLException error) {
                        failed.add(sql.strip() + "\n  " + error.getSQLState() + " " + error.getMessage());
                    }
                }
            }
        }
        if (!failed.isEmpty()) {
            System.err.println(failed.size() + " statements failed:\n" + String.join("\n", failed));
            System.exit(1);
        }
    }

    /** Reads every cell; gives the number of rows and the statement. */
    static String read(Connection connection, String sql) throws SQLException {
        int count = 0;
        try (Statement statement = connection.createStatement()) {
            if (statement.execute(sql)) {
                ResultSet rows = statement.getResultSet();
                int width = rows.getMetaData().getColumnCount();
                while (rows.next()) {
                    count++;
                    for (int column = 1; column <= width; column++) {
                        rows.getObject(column);
                    }
                }
            }
        }
        return count + " rows: " + sql.lines().findFirst().orElse("");
    }
}
