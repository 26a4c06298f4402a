wrk.method = 'GET'
wrk.headers['Authorization'] = 'Bearer todo_0NXxvjGQDND5ru97hoFJTzsexx9nJiMahpQhnoirWRY'
