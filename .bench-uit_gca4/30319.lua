wrk.method = 'GET'
wrk.headers['Authorization'] = 'Bearer todo_a-token-for-the-bench'
