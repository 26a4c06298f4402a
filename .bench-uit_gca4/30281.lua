wrk.method = 'GET'
wrk.headers['Authorization'] = 'Bearer todo_Bs6p4C5qPoBTUEi4yESlaQPBhc0mf0jq3lYltgDQUpM'
wrk.headers['If-None-Match'] = '"1-51"'
