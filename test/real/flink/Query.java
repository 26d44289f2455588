import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/** Runs the statements of a file with Flink's Table API in this process, and prints what the last one answers. */
class Query {
    public static void main(String[] args) throws Exception {
        TableEnvironment env = TableEnvironment.create(EnvironmentSettings.inStreamingMode());
        env.getConfig().set("parallelism.default", "1");
        for (String sql : Files.readString(Path.of(args[0])).split(";\\s*\n")) {
            env.executeSql(sql).print();
        }
    }
}
